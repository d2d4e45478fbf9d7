"""A domain holds what is drawn, and says what cannot be."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from solfa.cli.app import run
from solfa.data.backends import choose_backend
from solfa.data.composer.compose import compose
from solfa.data.domain import LEGAL, PIANOS, Domain, textures_of
from solfa.data.effects import PLAIN
from solfa.data.manifest import read_manifest
from solfa.data.programs import parse_presets
from solfa.data.soundfont import SoundFontError, find_soundfont
from solfa.data.synth import Settings, draw_attributes, synthesize

SMALL = Domain.parse("waltz, folk,romantic piano", "solo,duo,nocturne piano", "major,minor", "3/4,4/4")
LEADS = "0,11,40,73"


@pytest.fixture(scope="module")
def synthesizer() -> None:
    try:
        find_soundfont()
        choose_backend()
    except (SoundFontError, ImportError) as error:
        pytest.skip(str(error))


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_drawn_is_in_the_domain():
    settings = Settings(domain=SMALL)
    seen = Counter()
    for seed in range(400):
        drawn = draw_attributes(settings, settings.presets, random.Random(seed))
        assert drawn.genre in SMALL.genres and drawn.texture in SMALL.textures and drawn.mode in SMALL.modes
        assert f"{drawn.metre[0]}/{drawn.metre[1]}" in SMALL.metres
        seen.update([drawn.genre, drawn.texture, drawn.mode, drawn.metre])
    assert len(seen) == 3 + 3 + 2 + 2


@pytest.mark.parametrize("name", LEGAL)
def test_unknown_names_are_answered_with_the_legal_ones(name):
    with pytest.raises(ValueError, match=f"{name} 'nonsense': legal are .*{LEGAL[name][0]}"):
        Domain.parse(**{name: f"{LEGAL[name][0]},nonsense"})
    with pytest.raises(ValueError, match="between commas"):
        Domain.parse(**{name: f"{LEGAL[name][0]},,"})


@pytest.mark.parametrize(
    ("choice", "named"),
    [
        ({"genres": "waltz", "metres": "4/4"}, "genres waltz"),
        ({"genres": "waltz,folk", "metres": "4/4"}, "genres waltz"),
        ({"genres": "ragtime", "textures": "solo"}, "genres ragtime"),
        ({"genres": "waltz,folk", "textures": "solo,nocturne piano"}, "textures nocturne piano"),
        ({"genres": "lullaby", "modes": "minor"}, "genres lullaby"),
    ],
)
def test_choices_that_never_meet_are_refused(choice, named):
    with pytest.raises(ValueError, match=f"{named}: never drawn"):
        Domain.parse(**choice)


def test_programs_that_cannot_play_the_domain_are_refused():
    for programs, domain, balanced in (
        ("drums", Domain.parse("waltz"), False),  # used to be an endless loop
        ("0-7", Domain.parse("percussion"), False),
        ("40", Domain.parse("ragtime"), True),
        ("33", Domain(), True),
    ):
        settings = Settings(programs=programs, domain=domain, balanced=balanced)
        with pytest.raises(ValueError, match=r"can be drawn|can lead"):
            draw_attributes(settings, settings.presets, random.Random(0))
        with pytest.raises(ValueError, match=r"can be drawn|can lead"):
            settings.resolved()


def test_leads_are_spread_evenly_and_pianos_alone_play_for_piano():
    settings = Settings(programs=LEADS, domain=SMALL, balanced=True, accompaniment="0,11")
    drawn = [draw_attributes(settings, settings.presets, random.Random(seed)) for seed in range(800)]
    leads = Counter(a.instruments[0].program for a in drawn)
    assert sorted(leads) == [0, 11, 40, 73] and min(leads.values()) > 150
    assert all(a.instruments[0].program in PIANOS for a in drawn if "piano" in a.texture)
    others = Counter(a.instruments[1].program for a in drawn if a.texture == "duo")
    assert set(others) == {0, 11} and others.total() > 200
    assert all(a.instruments[0].program != a.instruments[1].program for a in drawn if a.texture == "duo")
    assert "nocturne piano" in textures_of(0) and "nocturne piano" not in textures_of(73)
    alone = replace(settings, accompaniment="0", programs="0")
    pair = next(a for s in range(99) if (a := draw_attributes(alone, alone.presets, random.Random(s))).texture == "duo")
    assert [voice.program for voice in pair.instruments] == [0, 0]


def test_settings_that_cannot_be_are_named():
    for wrong in ({"captions": 0}, {"captions": 101}, {"programs": "0", "accompaniment": "24"}, {"accompaniment": "x"}):
        with pytest.raises(ValueError, match=r"captions|accompaniment|programs 'x'"):
            Settings(**wrong)


def test_a_steady_piece_keeps_its_tempo():
    settings = Settings(programs="0", domain=Domain.parse("romantic piano"))
    drawn = draw_attributes(settings, settings.presets, random.Random(1))
    free, steady = compose(drawn), compose(drawn, steady=True)
    assert len({change.bpm for change in free.tempi}) > 3
    assert [round(change.bpm) for change in steady.tempi] == [round(drawn.quarters_per_minute)]


def test_bars_begin_at_the_beginning():
    """There are no pickups: counted from 0, notes are longest and loudest where bars begin."""
    shares = {}
    for seed in range(40):
        drawn = draw_attributes(Settings(domain=SMALL), Settings(domain=SMALL).presets, random.Random(seed))
        score, beat = compose(drawn, steady=True), 60 / drawn.tempo
        sums = shares.setdefault(drawn.metre, [0.0] * drawn.metre[0])
        for note in (note for part in score.parts for note in part.notes):
            place = round(note.onset / beat)
            sums[place % len(sums)] += (
                (abs(note.onset / beat - place) < 0.1) * (note.offset - note.onset) * note.velocity
            )
    assert set(shares) == {(3, 4), (4, 4)}
    assert all(first > 1.5 * max(others) for first, *others in shares.values()), shares


def test_presets_of_the_settings_are_those_that_accompany_by_default():
    presets = parse_presets("0,40")
    assert Settings().accompanying(presets) == presets
    assert Settings(accompaniment="40,41").accompanying(presets).programs == {40}


@pytest.mark.usefixtures("synthesizer")
def test_more_captions_leave_everything_else_as_it_is(tmp_path):
    one = Settings(seconds=(4.0, 4.5), options=PLAIN, domain=SMALL, programs=LEADS)
    synthesize(tmp_path / "one", 2, 5, 1, one)
    synthesize(tmp_path / "many", 2, 5, 1, replace(one, captions=4))
    before, after = tree(tmp_path / "one"), tree(tmp_path / "many")
    assert {k: v for k, v in before.items() if "jsonl" not in k} == {k: v for k, v in after.items() if "jsonl" not in k}
    for a, b in zip(*(read_manifest(tmp_path / name / "manifest.jsonl") for name in ("one", "many")), strict=True):
        more = b.extra.pop("captions")
        assert a == b and len(more) == 3 and all(isinstance(text, str) and text for text in more)


@pytest.mark.usefixtures("synthesizer")
def test_the_command(tmp_path, capsys):
    common = ["--genres", "waltz,folk", "--textures", "solo,duo", "--modes", "major", "--metres", "3/4", "--plain"]
    common += ["--programs", LEADS, "--balance", "--accompaniment", "0", "--steady", "--captions", "3"]
    assert run(["synth", "-o", str(tmp_path / "a"), "--items", "2", "--seconds", "4", "4.5", *common]) == 0
    for entry in read_manifest(tmp_path / "a/manifest.jsonl"):
        assert entry.attributes["metre"] == [3, 4] and entry.attributes["genre"] in ("waltz", "folk")
        assert len(entry.extra["captions"]) == 2 and entry.attributes["steady"] is True
    assert run(["synth", "-o", str(tmp_path / "b"), "--genres", "wals"]) == 2
    assert "legal are waltz" in capsys.readouterr().err
    for idle in (["--kind", "sounds", "--genres", "waltz"], ["--from", "x", "--captions", "2"]):
        assert run(["synth", "-o", str(tmp_path / "b"), *idle]) == 2


def test_settings_without_these_choices_are_written_as_before():
    data = Settings(kind="sounds").to_dict()
    assert not {"domain", "balanced", "accompaniment", "steady", "captions"} & set(data)
    data = Settings(kind="sounds", domain=SMALL, captions=2, steady=True).to_dict()
    assert data["domain"]["metres"] == ["3/4", "4/4"] and data["captions"] == 2 and data["steady"] is True
