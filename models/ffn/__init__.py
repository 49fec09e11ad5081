"""TSM, TEA, SlowFast and Uniformer, plain or as Frame Flexible Networks."""
