"""A package that adds one member of every kind to vbench, by nothing but its entry points."""
