"""Compare runs: in pairs, against limits, and between engines."""
