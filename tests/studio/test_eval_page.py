"""The page of an evaluation: every number on it, no address outside, text that stays text, sounds and rolls of the right items."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from solfa.audio.io import Audio, write
from solfa.eval.bootstrap import mean_estimate
from solfa.eval.evaluation import Evaluation, Item, Measure, differences, summary
from solfa.score.note import Note
from solfa.score.write import write_notes
from solfa.studio import eval_items
from solfa.studio.chart import histogram, spans
from solfa.studio.eval_page import eval_page, write_page
from solfa.studio.text import number_text

RATE = 8000
UP = Measure("up", "A ratio <of> powers & more.", "dB", -np.inf, np.inf, "higher")
OFF = Measure("off", "An offset.", "LU", -np.inf, np.inf, "zero")


class Reader(HTMLParser):
    """Collects tags and addresses, and insists that every tag is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.tags, self.addresses, self.attributes = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.addresses += [(tag, value) for name, value in attrs if name in ("src", "href", "action", "srcset")]
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def sound(path: Path, seconds: float = 0.3, seed: int = 0, channels: int = 1, rate: int = RATE) -> Path:
    samples = 0.2 * torch.randn(1, channels, round(seconds * rate), generator=torch.Generator().manual_seed(seed))
    write(path, Audio(samples.clamp(-1, 1), rate))
    return path


def items(folder: Path, count: int, mark: str = "", **fields) -> list[Item]:
    """Items whose first measure rises with their number."""
    return [
        Item(
            f"clip{i:02}",
            {"up": float(i) + len(mark), "off": (-1.0) ** i * i},
            {
                "reference": sound(folder / f"{i}.wav", seed=i, **fields),
                "estimate": sound(folder / f"{i}{mark}-e.wav", seed=99 - i),
            },
        )
        for i in range(count)
    ]


def flacs(text: str) -> list[tuple[np.ndarray, int]]:
    found = re.findall(r'src="data:audio/flac;base64,([^"]*)"', text)
    return [soundfile.read(io.BytesIO(base64.b64decode(data)), always_2d=True) for data in found]


def shown(text: str) -> list[str]:
    """Names of the items that are played, in order."""
    return re.findall(r'<div class="item" id="item-\d+"><h3>(.*?)</h3>', text)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    folder = tmp_path_factory.mktemp("many")
    return Evaluation("codec", {"reference": folder, "rates": [1, 2]}, (UP, OFF), items(folder, 13))


@pytest.fixture(scope="module")
def text(many: Evaluation) -> str:
    return eval_page(many)


def test_the_page_asks_nobody_for_anything(text: str):
    found = Reader(text)
    kinds = {address.split(",")[0] for tag, address in found.addresses if tag != "a"}
    assert kinds == {"data:image/png;base64", "data:audio/flac;base64"}
    assert all(address.startswith("#item-") for tag, address in found.addresses if tag == "a")
    rest = re.sub(r"base64,[^\"]*", "", text)
    assert not re.search(r"(?i)https?:|//[a-z]|@import|url\(|fetch\(|XMLHttp|import\(", rest)
    assert "default-src 'none'" in text and found.tags.count("script") == 1


def test_every_mean_and_interval_stands_on_it(many: Evaluation, text: str):
    for name, mean in summary(many).items():
        row = re.search(rf'<td class="name">{name}<small.*?</tr>', text)[0]
        assert f"<b>{number_text(mean.value)}</b>" in row and f">{mean.n}</td>" in row
        assert f"<small>{number_text(mean.low)} to {number_text(mean.high)}</small>" in row
        assert row.count('class="mark"') == 13 and row.count("<circle") == row.count('class="reach"') == 1
    assert "A ratio &lt;of&gt; powers &amp; more." in text and "dB, −∞ to ∞, higher is better" in text


def test_the_worst_and_the_best_by_the_first_measure_are_played(many: Evaluation, text: str):
    names = [f"clip{i:02}" for i in (*range(5), *range(8, 13))]
    assert shown(text) == names
    played = flacs(text)
    assert len(played) == eval_items.SOUNDS
    for (samples, rate), path in zip(
        played, [p for i in many.items if i.name in names for p in i.files.values()], strict=True
    ):
        assert rate == RATE
        np.testing.assert_allclose(samples, soundfile.read(path, always_2d=True)[0], atol=1 / 32_000)


def test_both_ends_are_named_for_each_measure_by_its_own_direction(text: str):
    first, second = re.findall(r"<details.*?</details>", text, re.S)
    ends = [re.findall(r"clip\d\d", part) for part in (first, second)]
    assert ends[0] == [f"clip{i:02}" for i in (0, 1, 2, 3, 4, 12, 11, 10, 9, 8)]
    assert ends[1] == [f"clip{i:02}" for i in (12, 11, 10, 9, 8, 0, 1, 2, 3, 4)]  # far from 0 is worst, on either side
    anchors = set(re.findall(r'id="(item-\d+)"', text))
    assert {link for link in re.findall(r'href="#(.*?)"', text)} == anchors


def test_two_systems_stand_side_by_side_and_keep_to_the_sounds_there_is_room_for(tmp_path: Path, many: Evaluation):
    other = replace(many, items=items(tmp_path, 13, "x"), settings={"codec": "o"})
    other = replace(
        other,
        items=[replace(b, files=b.files | {"reference": a.files["reference"]})
               for a, b in zip(many.items, other.items, strict=True)],
    )  # fmt: skip
    text = eval_page(many, other)
    Reader(text)
    gap = differences(many, other)["up"]
    assert gap.value == -1 and '<span class="bad">worse</span>' in text and "<b>−1</b>" in text
    assert text.count('<span class="bad">') == 1 and "better</span>" not in text
    assert shown(text) == ["clip00", "clip01", "clip02", "clip10", "clip11", "clip12"]
    assert len(flacs(text)) == 18 and text.count("<b>estimate, against</b>") == 6 and "4 of them would be over" in text
    assert text.count('class="outline"') == 2


def test_what_is_gone_or_no_sound_is_named(tmp_path: Path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF0000WAVEjunk")
    notes = tmp_path / "no<notes>.json"
    notes.write_text('{"a": ')
    files = {"reference": sound(tmp_path / "a.wav"), "estimate": tmp_path / "gone.wav", "third": broken, "notes": notes}
    text = eval_page(Evaluation("codec", {}, (UP,), [Item("one", {"up": 1.0}, files)]))
    Reader(text)
    assert len(flacs(text)) == 1
    for name in ("gone.wav", "broken.wav", "no&lt;notes&gt;.json"):
        assert len(re.findall(rf'<p class="note">\w+: [^<]*{re.escape(name)}', text)) == 1


def test_names_from_outside_stay_text(tmp_path: Path):
    evil = '<script>alert("x")</script>{{title}}'
    measure = Measure(evil, evil, evil, 0.0, 1.0, "higher")
    found = Evaluation(
        evil, {evil: evil}, (measure,), [Item(evil, {evil: 0.5}, {evil: sound(tmp_path / "a.wav")})],
        {evil: [{evil: evil, "kbps": k, "y": float(k)} for k in range(3)]}, (evil,),
    )  # fmt: skip
    text = eval_page(found, found)
    read = Reader(text)
    assert read.tags.count("script") == 1 and "alert(" in text and '"x")</script>' not in text
    assert not [name for name in read.attributes if name.startswith("on")] and "{{title}}" in text


def test_long_sounds_are_cut_and_other_rates_and_channels_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(eval_items, "MAX_SECONDS", 1.0)
    files = {
        "reference": sound(tmp_path / "a.wav", 1.5, channels=2),
        "estimate": sound(tmp_path / "b.wav", 0.5, rate=12_000),
        "wide": sound(tmp_path / "c.wav", 1.0, channels=3),
    }
    text = eval_page(Evaluation("codec", {}, (UP,), [Item("one", {"up": 1.0}, files)]))
    assert [(samples.shape, rate) for samples, rate in flacs(text)] == [((8000, c), RATE) for c in (2, 1, 1)]
    samples = flacs(text)[1][0]
    assert np.abs(samples[4100:]).max() == 0 < np.abs(samples[3900:3990]).max()  # ends in silence
    for said in ("8 kHz stereo, 1.5 s", "12 kHz mono, 0.5 s", "here at 8 kHz", "3 channels, mixed", "first 1 s."):
        assert said in text


def test_the_page_stays_small_whatever_the_sounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(eval_items, "SOUND_BUDGET", 40_000)
    text = eval_page(Evaluation("codec", {}, (UP,), items(tmp_path, 10, seconds=1.0)))
    sizes = [len(base64.b64decode(data)) for data in re.findall(r'src="data:audio/flac;base64,([^"]*)"', text)]
    assert len(sizes) == 20 and sum(sizes) <= 40_000 and "The page holds the first" in text


def test_notes_are_drawn_the_reference_over_the_estimate(tmp_path: Path):
    notes = [Note(i * 0.4, i * 0.4 + 0.3, 60 + i % 12, 80, 0) for i in range(100)]
    write_notes(notes, tmp_path / "r.mid")
    write_notes(notes[:70], tmp_path / "e.jsonl")
    files = {"reference": tmp_path / "r.mid", "estimate": tmp_path / "e.jsonl"}
    text = eval_page(Evaluation("transcription", {}, (UP,), [Item("one", {"up": 1.0}, files)]))
    (roll,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]*)"', text)
    drawing = base64.b64decode(roll).decode()
    assert drawing.count('class="note"') == 70 and drawing.count('class="other"') == 75  # 75 begin within 30 s
    assert "estimate (filled) and reference (outlined)" in drawing
    assert "the first 75 of 100 notes, up to 30 s" in text and "Press a row" not in text


def test_a_table_over_bitrates_is_drawn_as_curves():
    rates = [
        {"coder": coder, "setting": f"{k}", "kbps": k * scale, "up": float(k), "n": 3}
        for coder, scale in (("ours", 1), ("opus", 2)) for k in (1, 2, 4)
    ]  # fmt: skip
    text = eval_page(Evaluation("codec", {}, (UP,), [], {"rate_distortion": rates, "other": [{"a": "x", "b": np.nan}]}))
    Reader(text)
    (drawing,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]*)"', text)
    assert base64.b64decode(drawing).count(b"<polyline") == 2
    assert (
        text.count('<td class="name">ours</td><td class="left">') == 3 and '<td class="name">x</td><td>–</td>' in text
    )
    gaps = [rates[0], rates[1] | {"up": "no number"}]
    assert "image/svg" not in eval_page(Evaluation("codec", {}, (UP,), [], {"rate_distortion": gaps}))


def test_an_estimate_in_a_table_is_text():
    text = eval_page(
        Evaluation("x", {}, (UP,), [], {"shares": [{"key": "tonic", "share": mean_estimate([0.5, 0.35])}]})
    )
    assert "0.425 [0.350, 0.500]</td>" in text


def test_nothing_measured_is_a_page_too():
    for found in (Evaluation("codec", {}, (), []), Evaluation("codec", {}, (UP,), [Item("a", {"up": np.nan})])):
        Reader(eval_page(found))
    infinite = eval_page(Evaluation("codec", {}, (UP,), [Item("a", {"up": np.inf}), Item("b", {"up": 1.0})]))
    Reader(infinite)
    assert "<b>∞</b>" in infinite and "1 infinite, not drawn" in infinite


def test_it_is_written_whole_or_not_at_all(tmp_path: Path, many: Evaluation):
    page = tmp_path / "page.html"
    page.write_text("old")
    with pytest.raises(ValueError, match="no item of one name"):
        write_page(page, many, Evaluation("codec", {}, (UP,), []))
    assert page.read_text() == "old" and list(tmp_path.iterdir()) == [page]
    write_page(page, replace(many, items=[]))
    assert page.read_text().startswith("<!doctype html>") and list(tmp_path.iterdir()) == [page]


def numbers(pattern: str, svg: str) -> list[float]:
    return [float(x) for x in re.findall(pattern, svg)]


def test_charts_put_values_where_they_belong():
    drawn = spans([([1.0, 3.0, np.nan], (2.0, 1.5, 2.5)), ([], (np.nan, np.nan, np.nan))], "t")
    assert numbers(r'class="mark" d="M([\d.]+)', drawn) == [6.0, 314.0] and 'cx="160.0"' in drawn
    assert drawn.count("<circle") == 1 and spans([([np.nan], (np.nan,) * 3)], "t") == ""
    about = spans([((), (1.0, -0.5, 2.0))], "t", zero=True)
    assert 'class="zero" x1="160.0"' in about and numbers(r'cx="([\d.]+)"', about) == [237.0]
    many = spans([(list(range(1000)), (500.0, 400.0, 600.0))], "t")
    places = numbers(r'class="mark" d="M([\d.]+)', many)
    assert len(places) == 200 and (places[0], places[-1]) == (6.0, 314.0)
    bars = numbers(r'class="bar".*?height="([\d.]+)"', histogram([0.0] * 3 + [1.0] * 6, [], "t"))
    alone = histogram([2.5] * 4, [], "t")
    assert re.findall(r"<text[^>]*>([^<]*)</text>", alone) == ["4 items", "2.5"]
    assert len(bars) == 6 and bars[0] * 2 == pytest.approx(bars[-1], abs=0.1) and sum(bars[1:-1]) == 0


def test_values_that_differ_by_rounding_or_by_all_there_is_are_drawn():
    for values in ([0.1 + 0.2, 0.3], [100.0, 99.99999999999999], [1e300] * 3, [0.0, 5e-324]):
        drawn = histogram(values, values, "t")
        bars = numbers(r'class="bar".*?height="([\d.]+)"', drawn)
        assert sorted(bars)[-1] > 0 == sum(sorted(bars)[:-1]) and f">{len(values)} items<" in drawn
    for values in ([-1.7e308, 1.7e308], [-1e308, 0.0, 1e308]):
        drawn = histogram(values, [], "t") + spans([(values, (values[0], values[0], values[-1]))], "t")
        assert "nan" not in drawn and numbers(r'class="mark" d="M([\d.]+)', drawn)[:: len(values) - 1] == [6.0, 314.0]
        bars = numbers(r'class="bar".*?height="([\d.]+)"', drawn)
        assert bars[0] > 0 < bars[-1] and sum(bar > 0 for bar in bars) == len(values)
