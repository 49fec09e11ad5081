"""``vbench demo``."""
