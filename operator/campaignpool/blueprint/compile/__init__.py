"""The compiler: blueprint and catalog become a clone plan, which says what happens to every column. Pure."""
