"""Vocabularies: the published ids, tables that say each thing once, tokens added without moving old ones."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.checkpoint import config_from_dict
from solfa.transcription.vocabulary import PRESETS, Event, TokenRange, Vocabulary, mt3, piano_2021, vocabulary

# First and last id on the wire: the published event indices, and the three specials before them.
PUBLISHED = {
    "mt3": {
        "shift": (0, 1000),
        "pitch": (1001, 1128),
        "velocity": (1129, 1130),
        "tie": (1131, 1131),
        "program": (1132, 1259),
        "drum": (1260, 1387),
    },
    "piano_2021": {
        "shift": (0, 1000),
        "pitch": (1001, 1128),
        "velocity": (1129, 1256),
        "tie": (1257, 1257),
        "program": (1258, 1385),
        "drum": (1386, 1513),
    },
}
MUSCRIPTOR = {  # on the wire already
    "shift": (3, 1003),
    "pitch": (1004, 1131),
    "velocity": (1132, 1133),
    "tie": (1134, 1134),
    "program": (1135, 1264),
    "drum": (1265, 1392),
}
every = pytest.mark.parametrize("words", [make() for make in PRESETS.values()], ids=list(PRESETS))


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_ids_of_mt3_and_of_the_piano_model_are_the_published_ones(name: str) -> None:
    words = vocabulary(name)
    ids = {kind: (words.ids(kind)[0] - 3, words.ids(kind)[-1] - 3) for kind in words.kinds}
    assert ids == PUBLISHED[name]
    assert list(words.kinds) == ["shift", "pitch", "velocity", "tie", "program", "drum"]


@pytest.mark.parametrize(
    ("name", "events", "size", "bins"),
    [
        ("mt3", 1388, 1536, 1),
        ("piano_2021", 1514, 1664, 127),
        ("muscriptor", 1390, 1393, 1),
        ("solfa_events", 1421, 1536, 32),
    ],
)
def test_sizes(name: str, events: int, size: int, bins: int) -> None:
    words = vocabulary(name)
    assert (sum(event is not None for event in words.events), words.size, words.velocity_bins) == (events, size, bins)
    assert (words.pad, words.eos, words.unk, words.name, words.max_shift) == (0, 1, 2, name, 1000)


def test_ids_of_muscriptor() -> None:
    words = vocabulary("muscriptor")
    assert {kind: (words.ids(kind)[0], words.ids(kind)[-1]) for kind in words.kinds} == MUSCRIPTOR
    assert words.ids("pitch") == mt3().ids("pitch") and words.ids("tie") == mt3().ids("tie")
    assert words.event(1264) == ("program", 129)


@every
def test_every_id_says_one_thing(words: Vocabulary) -> None:
    said = [event for event in words.events if event is not None]
    assert len(said) == len(set(said))
    for id, event in enumerate(words.events):
        if event is None:
            with pytest.raises(ValueError, match=f"id {id} is no event"):
                words.event(id)
        else:
            assert words.id(*event) == id == words.find(*event)
            assert words.event(id) == event
    for special in (words.pad, words.eos, words.unk):
        assert words.events[special] is None
    for outside in (-1, words.size):
        with pytest.raises(ValueError, match="no event"):
            words.event(outside)


@every
def test_velocities(words: Vocabulary) -> None:
    bins = words.velocity_bins
    assert words.bin_of(0) == words.velocity_of(0) == 0
    assert words.bin_of(1) == 1 and words.bin_of(127) == bins and words.velocity_of(bins) == 127
    assert [words.bin_of(words.velocity_of(bin)) for bin in range(bins + 1)] == list(range(bins + 1))
    assert all(0 <= words.velocity_of(words.bin_of(v)) - v <= 127 / bins for v in range(1, 128))
    if bins == 127:
        assert [words.bin_of(v) for v in range(128)] == list(range(128))


def test_programs_by_granularity() -> None:
    assert [mt3().program_of(program) for program in (0, 7, 8, 127)] == [0, 7, 8, 127]
    assert [piano_2021().program_of(program) for program in (0, 127)] == [0, 0]
    classes = dataclasses.replace(mt3(), granularity="midi_class")
    assert [classes.program_of(program) for program in (0, 7, 8, 127)] == [0, 0, 8, 120]


@every
def test_a_vocabulary_is_plain_json(words: Vocabulary) -> None:
    read = config_from_dict(Vocabulary, json.loads(json.dumps(dataclasses.asdict(words))))
    assert read == words and hash(read) == hash(words)


@every
@settings(max_examples=15)
@given(added=st.lists(st.tuples(st.sampled_from(["technique", "bend", "breath"]), st.integers(1, 300)), max_size=4))
def test_added_tokens_move_no_old_id(words: Vocabulary, added: list[tuple[str, int]]) -> None:
    old = {event: id for id, event in enumerate(words.events) if event is not None}
    grown = words
    for kind, count in added:
        lowest = max(grown.values(kind), default=-1) + 1
        grown = grown.with_added(kind, lowest, lowest + count - 1)
    assert all(grown.id(*event) == id for event, id in old.items())
    new = [id for id, event in enumerate(grown.events) if event is not None and event not in old]
    first = max(old.values()) + 1
    assert new == list(range(first, first + sum(count for _, count in added)))
    assert (grown.pad, grown.eos, grown.unk) == (words.pad, words.eos, words.unk)


def test_spare_ids_are_used_before_a_vocabulary_grows() -> None:
    with_pedal = mt3().with_added("pedal", 0, 1)
    assert with_pedal.size == 1536 and with_pedal.ids("pedal") == (1391, 1392)
    longer = with_pedal.with_added("shift", 1001, 2000)
    assert longer.size == 2432 and longer.max_shift == 2000 and longer.id("shift", 2000) == 2392
    assert longer.ids("shift")[:1001] == mt3().ids("shift")
    assert vocabulary("muscriptor").with_added("technique", 0, 0).size == 1408


def changed(**fields: object) -> Vocabulary:
    return dataclasses.replace(mt3(), **fields)  # type: ignore[arg-type]


RANGES = mt3().ranges


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vocabulary("mt4"), "no vocabulary 'mt4': legal are mt3, piano_2021, muscriptor, solfa_events"),
        (lambda: mt3().id("pitch", 128), "no pitch 128: legal are 0 to 127"),
        (lambda: mt3().id("pedal", 0), "no 'pedal': legal are shift, pitch"),
        (lambda: mt3().with_added("velocity", 2, 3), "change what the old ones mean"),
        (lambda: mt3().with_added("tie", 0, 0), "change what the old ones mean"),
        (lambda: mt3().with_added("drum", 5, 6), "says a drum twice"),
        (lambda: mt3().with_added("shift", 1002, 1003), "shift must have all values"),
        (lambda: mt3().with_added("pedal", 0, 0), "values 0 and 1 at least"),
        (lambda: mt3().with_added("pedal", 0, 2), "0 <= lowest <= highest <= 1"),
        (lambda: mt3().with_added("bend", 5, 4), "lowest <= highest"),
        (lambda: mt3().with_added("", 0, 4), "needs a kind"),
        (lambda: mt3().with_added("bend", 0, 1 << 20), "size is|lowest <= highest"),
        (lambda: changed(steps_per_second=0), "steps_per_second is 0"),
        (lambda: changed(order="time"), "order is 'time': legal are mt3, muscriptor, grid"),
        (lambda: changed(granularity="class"), "granularity is 'class'"),
        (lambda: changed(size=1390), "but size 1390"),
        (lambda: changed(size=0), "size is 0"),
        (lambda: changed(eos=0), "uses id 0 twice"),
        (lambda: changed(unk=1390), "uses id 1390 twice"),
        (lambda: changed(pad=-1), "ids from -1"),
        (lambda: changed(ranges=(*RANGES, TokenRange("bend", 0, 1, 1390))), "uses id 1390 twice"),
        (lambda: changed(ranges=RANGES[:3]), "has no tie: it needs shift, pitch, velocity, tie, program"),
        (lambda: changed(ranges=RANGES[:4]), "has no program"),
        (lambda: TokenRange("pitch", 0, 128, 0), "highest <= 127"),
        (lambda: TokenRange("velocity", 0, 128, 0), "highest <= 127"),
        (lambda: TokenRange("pitch", 0, 1, -1), "ids count from 0"),
    ],
)
def test_what_is_wrong_is_said(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_flat_vocabulary_needs_no_programs_and_one_without_ties_no_tie() -> None:
    words = Vocabulary("small", (*RANGES[:3],), 1140, ties=False, granularity="flat")
    assert words.kinds == ("shift", "pitch", "velocity") and words.ids("drum") == ()
    assert words.event(3) == Event("shift", 0)
