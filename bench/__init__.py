"""Measure networks on data sets: runs, traces, sweeps and comparisons."""
