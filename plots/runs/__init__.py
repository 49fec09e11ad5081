"""What figures read of a run: operating point, timing, labels."""
