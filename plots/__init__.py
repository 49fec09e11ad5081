"""Figures and reports, drawn from the tables of runs and sweeps."""
