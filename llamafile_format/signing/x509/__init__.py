"""DER, CMS and certificates (spec/1, 13.9)."""
