"""What weights say about themselves: GGUF read strictly, templates, tensor types (spec/1, chapter 7)."""
