"""ABC notation (the ABC music standard 2.1), in and out."""

from solfa.score.abc.error import AbcError
from solfa.score.abc.read import list_tunes, read_abc
from solfa.score.abc.write import write_abc

__all__ = ["AbcError", "list_tunes", "read_abc", "write_abc"]
