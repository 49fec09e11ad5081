"""``vbench doctor``: the runtime's checks, and those of runs and data sets."""
