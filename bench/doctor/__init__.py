"""``vbench doctor``: the runtime's checks, plus checks of runs and data sets."""
