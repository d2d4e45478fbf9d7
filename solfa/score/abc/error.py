"""What is wrong with a text in ABC, and where."""

from __future__ import annotations


class AbcError(ValueError):
    """A text that is not ABC, or asks for more than a reader can give. `line` and `column` count from 1; column 0 is the whole line."""

    def __init__(self, line: int, column: int, reason: str) -> None:
        self.line, self.column, self.reason = line, column, reason
        place = f"line {line}, column {column}" if column else f"line {line}"
        super().__init__(f"{place}: {reason}")
