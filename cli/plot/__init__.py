"""``vbench plot`` and its figures."""
