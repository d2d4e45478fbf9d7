"""The names of the General MIDI instruments."""

import pytest

from solfa.data.composer.instruments import INSTRUMENTS, programs_named
from solfa.score.general_midi import NAMES


@pytest.mark.parametrize(
    "written", [str, str.lower, str.upper, lambda name: name.replace(" ", "-"), lambda name: f" {name} "]
)
def test_every_name_of_ours_and_of_general_midi_is_its_instrument(written):
    for instrument in INSTRUMENTS:
        program = instrument.program
        assert programs_named(written(instrument.name)) == programs_named(written(NAMES[program])) == (program,)


@pytest.mark.parametrize(
    ("name", "programs"),
    [
        ("piano", (0, 1, 2, 3, 4, 5)),
        ("guitar", (24, 25, 26, 27, 28, 29, 30, 31)),  # and no fret noise
        ("noise", (120, 121)),
        ("sax", (64, 65, 66, 67)),
        ("saxophone", (64, 65, 66, 67)),
        ("alto saxophone 2", (65,)),
        ("grand piano", (0, 2)),
        ("127", (127,)),
        ("128", ()),
        ("kazoo", ()),
        ("1 2", ()),
        ("", ()),
        ("()", ()),
    ],
)
def test_words_stand_for_all_that_have_them(name, programs):
    assert programs_named(name) == programs


@pytest.mark.parametrize("name", ["drum", "drums", "Drum Kit", "drum-kit", "drum set", "Percussion"])
def test_drums_go_by_many_names(name):
    assert programs_named(name) == (128,)
