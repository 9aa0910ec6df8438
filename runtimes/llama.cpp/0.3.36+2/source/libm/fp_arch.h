// Stands in for musl's per-processor fp_arch.h: no processor of ours needs special care.
