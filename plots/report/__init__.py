"""The HTML report of several runs."""
