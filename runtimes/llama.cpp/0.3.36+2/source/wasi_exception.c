// The tag by which C++ exceptions are thrown in WebAssembly; linkers expect exactly one definition.
__asm__(".tagtype __cpp_exception i32\n"
        ".globl __cpp_exception\n"
        "__cpp_exception:\n");
