"""The compiler, which is pure: blueprint and catalog in, a clone plan out, with what becomes of every column."""
