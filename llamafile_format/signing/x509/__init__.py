"""DER, CMS and certificates (spec/1.0, 13.9)."""
