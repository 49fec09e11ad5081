"""Synthetic data sets that vbench generates for the demo."""
