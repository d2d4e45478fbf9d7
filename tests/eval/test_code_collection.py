"""Recordings counted as they come: the same as all at once, values of each, tables of the whole, and what is too much to count."""

import math

import numpy as np
import pytest

from solfa.eval import code_collection as module
from solfa.eval import code_statistics
from solfa.eval.bag_of_codes import cosine_similarity, tf_idf
from solfa.eval.code_collection import CodeCollection
from solfa.eval.code_statistics import conditional_entropy, mutual_information
from solfa.eval.codebooks import codebook_report
from solfa.eval.evaluation import document, summary

BOOKS, SIZE = 3, 8


@pytest.fixture
def recordings():
    rng = np.random.default_rng(0)
    made = [np.repeat(rng.integers(0, SIZE, (BOOKS, frames)), 2, axis=1) for frames in (5, 1, 9)]
    return {name: codes.astype(np.int16) for name, codes in zip("abc", made, strict=True)}


def collected(recordings, books=BOOKS, size=SIZE):
    collection = CodeCollection(books, size)
    for name, codes in recordings.items():
        collection.add(name, codes)
    return collection


def counted(first, second):
    joint = np.zeros((SIZE, SIZE), np.int64)
    np.add.at(joint, (first, second), 1)
    return joint


def test_the_whole_is_that_of_all_frames_and_no_pair_reaches_over_an_end(recordings):
    collection = collected(recordings)
    whole = np.concatenate(list(recordings.values()), axis=1)
    assert collection.report() == codebook_report([np.bincount(row, minlength=SIZE) for row in whole])
    for (a, b), found in collection.information().items():
        assert found == mutual_information(counted(whole[a], whole[b]))
    rows = collection.evaluation({}).tables["codebooks"]
    total = 0.0
    for book in range(BOOKS):
        before = sum(counted(codes[book, :-1], codes[book, 1:]) for codes in recordings.values())
        assert rows[book]["conditional_entropy"] == pytest.approx(conditional_entropy(before))
        total += conditional_entropy(before)
    assert rows[-1]["codebook"] == "all" and rows[-1]["conditional_entropy"] == pytest.approx(total)
    assert before.sum() == whole.shape[1] - len(recordings)


def test_values_of_a_recording_are_those_of_it_alone(recordings):
    found = collected(recordings).evaluation({})
    for item, (name, codes) in zip(found.items, recordings.items(), strict=True):
        report = codebook_report([np.bincount(row, minlength=SIZE) for row in codes])
        assert item.name == name
        assert item.values["usage"] == report.usage_total and item.values["perplexity"] == report.perplexity_mean
        assert item.values["entropy"] == pytest.approx(np.mean(report.entropy))
        assert item.values["efficiency"] == pytest.approx(item.values["entropy"] / math.log2(SIZE))
        runs = [1 + np.count_nonzero(np.diff(row)) for row in codes]
        assert item.values["run_length"] == pytest.approx(np.mean([codes.shape[1] / count for count in runs]))
    assert summary(found)["entropy"].n == 3


def test_the_order_of_recordings_does_not_matter_to_the_whole(recordings):
    forward, backward = collected(recordings), collected(dict(reversed(recordings.items())))
    first, second = forward.evaluation({}).tables, backward.evaluation({}).tables
    assert {name: first[name] for name in first if name != "bags_of_codes"} == {
        name: second[name] for name in second if name != "bags_of_codes"
    }
    rows = {row["item"]: row for row in second["bags_of_codes"]}
    for row in first["bags_of_codes"]:
        other = rows[row["item"]]
        assert row["typical"] == other["typical"] and row["cosine"] == pytest.approx(other["cosine"])


def test_bags_name_the_nearest_recording_and_codes_with_their_codebook(recordings):
    recordings["d"] = np.roll(recordings["c"], 3, axis=1)  # the same bag, in another order
    recordings["a"][2] = 7
    found = collected(recordings).evaluation({}, "tf_b", "idf_b").tables["bags_of_codes"]
    counts = [[np.bincount(row, minlength=SIZE) for row in codes] for codes in recordings.values()]
    weights = tf_idf(np.array(counts).reshape(4, -1), "tf_b", "idf_b")
    alike = cosine_similarity(weights)
    rows = {row["item"]: row for row in found}
    assert rows["d"]["nearest"] == "c" and rows["c"]["nearest"] == "d" and rows["c"]["cosine"] == pytest.approx(1)
    assert rows["a"]["cosine"] == pytest.approx(max(alike[0, 1:]))
    first = int(weights[0].argmax())
    assert rows["a"]["typical"].split()[0] == f"{first // SIZE}:{first % SIZE}"


def test_one_frame_of_one_recording():
    found = collected({"one": np.array([[3], [0], [7]])}).evaluation({"codec": "toy"})
    assert dict(found.items[0].values) == {
        "usage": 1 / 8,
        "entropy": 0,
        "perplexity": 1,
        "efficiency": 0,
        "run_length": 1,
    }
    assert "bags_of_codes" not in found.tables  # there is no other
    assert all(math.isnan(row["conditional_entropy"]) for row in found.tables["codebooks"])
    assert all(row["mutual_information"] == 0 and row["frames"] == 1 for row in found.tables["mutual_information"])
    assert document(found)["settings"]["codec"] == "toy"


def test_recordings_that_share_nothing_have_no_typical_codes_where_all_is_alike():
    same = {name: np.zeros((BOOKS, 4), int) for name in "ab"}
    rows = collected(same).evaluation({}).tables["bags_of_codes"]
    assert [(row["nearest"], row["cosine"], row["typical"]) for row in rows] == [(None, None, "")] * 2


def test_what_is_too_much_is_left_out(recordings, monkeypatch):
    monkeypatch.setattr(code_statistics, "MAX_CELLS", 2 * SIZE**2)
    monkeypatch.setattr(module, "MAX_BAGS", 2 * BOOKS * SIZE)
    collection = collected(recordings)
    assert collection.pairs.pairs == ((0, 1), (1, 2)) and not collection.every_pair
    assert collection.before is None and collection.bags is None
    found = collection.evaluation({})
    assert found.tables.keys() == {"codebooks", "run_lengths", "mutual_information"}
    assert "conditional_entropy" not in found.tables["codebooks"][0]
    monkeypatch.setattr(code_statistics, "MAX_CELLS", 0)
    assert "mutual_information" not in collected(recordings).evaluation({}).tables


def test_many_recordings_of_few_codes_are_not_compared(monkeypatch):
    """Each with each other: that grows with their square, whatever the number of codes."""
    monkeypatch.setattr(module, "MAX_BAGS", 99)
    collection = CodeCollection(1, 2)
    for number in range(10):
        assert collection.bags is not None
        collection.add(str(number), np.array([[0, 1]]))
    assert collection.bags is None and len(collection.items) == 10


def test_a_recording_is_counted_whole_or_not_at_all(recordings, monkeypatch):
    collection = collected(recordings)
    before = document(collection.evaluation({}))
    for codes, words in (
        (np.full((BOOKS, 2), SIZE), "must be 0 to 7"),
        (np.zeros((BOOKS + 1, 2), int), r"integers \[..., 3, T\]"),
        (np.zeros((BOOKS, 0), int), "at least one frame"),
        (np.zeros((1, BOOKS, 2), int), r"\[1, 3, 2\]: must be \[3, T\]"),
        (np.zeros(BOOKS, int), r"must be \[3, T\]"),
    ):
        with pytest.raises(ValueError, match=words):
            collection.add("bad", codes)
    assert repr(document(collection.evaluation({}))) == repr(before)
    monkeypatch.setattr(code_statistics, "_MOST", int(collection.total.counts[0].sum()) + 1)
    with pytest.raises(ValueError, match="can be counted in pairs"):
        collection.add("long", np.zeros((BOOKS, 2), int))
    assert repr(document(collection.evaluation({}))) == repr(before)
    collection.add("short", np.zeros((BOOKS, 1), int))  # what was refused took no room
    with pytest.raises(ValueError, match="at least one frame"):
        CodeCollection(BOOKS, SIZE).evaluation({})


def test_every_column_has_a_definition(recordings):
    found = collected(recordings).evaluation({})
    defined = {measure.name for measure in found.measures} | found.settings["in_tables"].keys()
    columns = {name for table in ("codebooks", "mutual_information") for name in found.tables[table][0]}
    assert columns - {"codebook", "with", "frames", "pairs"} <= defined
