"""A package that adds one member of every kind to vbench through its entry points alone."""
