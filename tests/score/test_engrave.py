import re
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from xml.etree import ElementTree

import pytest

from solfa.score.engrave import engrave, stacked
from solfa.score.sheet.notation import Key, Sheet, Symbol, Voice

SVG = "{http://www.w3.org/2000/svg}"


def melody(count):
    symbols = tuple(Symbol(Fraction(i, 2), Fraction(1, 2), (60 + i % 13,)) for i in range(count))
    return Sheet((Voice("Flute", 73, False, "treble", symbols),), keys=(Key(Fraction(0), 10, "major"),), title="Étude")


def count(page, name):
    return sum(name in element.get("class", "").split() for element in ElementTree.fromstring(page).iter())


def test_without_verovio_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "verovio", None)
    with pytest.raises(ImportError, match=r'pip install "solfa\[score\]"'):
        engrave(melody(1))


def test_all_notes_are_on_the_pages():
    pytest.importorskip("verovio")
    pages = engrave(melody(500))
    assert len(pages) > 1
    assert sum(count(page, "note") for page in pages) == 500
    assert "Étude" in pages[0]
    assert pages == engrave(melody(500))


def test_every_thread_can_engrave():
    pytest.importorskip("verovio")
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(engrave, melody(20)).result(60) == engrave(melody(20))


def test_stacked_pages_are_one_document_with_ids_of_its_own():
    pytest.importorskip("verovio")
    pages = engrave(melody(500))
    text = stacked(pages)
    root = ElementTree.fromstring(text)
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'href="#([^"]+)"', text))
    assert used and used <= set(ids)
    assert set(re.findall(r"#(\w[-\w]*) g", text)) <= set(ids)  # styles
    assert count(text, "note") == 500
    tops = [int(child.get("y")) for child in root.findall(f"{SVG}svg")]
    assert tops == sorted(set(tops)) and len(tops) == len(pages)
    last = root.findall(f"{SVG}svg")[-1]
    assert int(root.get("height")) == tops[-1] + int(last.get("height").removesuffix("px"))


def test_an_empty_sheet_is_a_bar_of_rest():
    pytest.importorskip("verovio")
    (page,) = engrave(melody(0))
    assert count(page, "mRest") == 1 and count(page, "note") == 0


def test_nothing_is_written_to_stderr(capfd):
    pytest.importorskip("verovio")
    engrave(melody(3))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("scale", [0, 9, 201])
def test_scales_that_are_none(scale):
    pytest.importorskip("verovio")
    with pytest.raises(ValueError, match="legal are 10 to 200"):
        engrave(melody(1), scale)
