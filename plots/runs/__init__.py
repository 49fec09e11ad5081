"""Data that figures read from a run: operating point, timing and labels."""
