// Stands in for musl's features.h: its mathematical functions need none of it.
