"""What can be wrong with a file, one module for each chapter of spec/1; verdicts, and policies (chapter 16)."""
