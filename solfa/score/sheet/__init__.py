"""The sheet: notes in beats and voices, from which notations are written."""
