"""What weights say about themselves: GGUF read strictly, templates, tensor types (spec/1.0, chapter 7)."""
