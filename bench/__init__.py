"""Measure networks on data sets with runs, traces, sweeps and comparisons."""
