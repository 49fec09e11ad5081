"""Compare runs in pairs, against limits, and across engines."""
