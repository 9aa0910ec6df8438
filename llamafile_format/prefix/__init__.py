"""What stands in front of the archive: executables told apart, never run; the launcher built (spec/1, chapter 3)."""
