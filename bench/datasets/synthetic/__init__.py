"""Data sets that vbench draws itself, for the demo."""
