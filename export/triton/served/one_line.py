"""Messages of the server and of exceptions, as part of an error."""

from __future__ import annotations


def one_line(problem: object) -> str:
    """Return a message on one line, without the traceback that the backend appends to some."""
    return " ".join(str(problem).partition("\n\nAt:")[0].split()) or type(problem).__name__
