"""The sixteen families of General MIDI's programs, eight of them each."""

FAMILIES = ("piano", "chromatic percussion", "organ", "guitar", "bass", "strings", "ensemble", "brass", "reed", "pipe", "synth lead",
            "synth pad", "synth effects", "ethnic", "percussive", "sound effects")  # fmt: skip


def family_of(program: int) -> str:
    """The family of a General MIDI program (0 to 127)."""
    return FAMILIES[program // 8]
