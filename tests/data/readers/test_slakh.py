"""Slakh's metadata: YAML from a stranger."""

import tracemalloc
from itertools import pairwise

import pytest

from solfa.data.readers import slakh

STEMS = "stems:\n  S00: {program_num: 5, is_drum: false, audio_rendered: true}\n"


def metadata(folder, text):
    (folder / "metadata.yaml").write_text(text)
    return slakh._metadata(folder / "metadata.yaml")


def test_a_few_lines_of_aliases_do_not_become_millions_of_words(tmp_path):
    text, names = "a: &a [x, x, x, x, x, x, x, x, x, x]\n", "abcdefgh"
    for before, name in pairwise(names):
        text += f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"metadata\.yaml: not YAML \(an alias"):
        metadata(tmp_path, f"{text}UUID: *h\n{STEMS}")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
    assert metadata(tmp_path, f"a: &a [x]\nUUID: u\n{STEMS}")["UUID"] == "u"  # a name alone costs nothing
