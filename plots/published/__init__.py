"""Published results, shipped as tables with their sources."""
