"""One module for each figure, and the shared style."""
