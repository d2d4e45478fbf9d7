"""What is left of a shard whose process was killed: all that was done, nothing that was torn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from solfa.tokenize_audio.work.attempts import Attempts
from solfa.tokenize_audio.work.decode import SourceStamp
from solfa.tokenize_audio.work.spool import Spool, SpoolDamaged, remove_spool, spooled

STAMP = SourceStamp(10, 20, "ab")
CODES = np.arange(24, dtype=np.int64).reshape(2, 12)  # [K, T]


def opened(path: Path, head: str = "codes of x") -> Spool:
    return Spool(path / "00000", head, 2, np.dtype("<i2"))


def fill(path: Path) -> None:
    with opened(path) as spool:
        for key in ("one", "two", "three"):
            spool.begin()
            for block in np.split(CODES, 3, axis=1):
                spool.add(block)
            spool.commit(key, STAMP, 240, 1.5)
        spool.refuse("bad", "is empty")
        spool.begin()
        spool.add(CODES)  # and then it is killed


def test_what_was_done_is_there(tmp_path: Path) -> None:
    fill(tmp_path)
    with opened(tmp_path) as spool:
        assert list(spool.records) == ["one", "two", "three", "bad"]
        assert all(np.array_equal(spool.codes(spool.records[key]), CODES) for key in ("one", "two", "three"))
        assert spool.records["two"].source == STAMP and spool.records["bad"].reason == "is empty"
        assert (tmp_path / "00000.codes").stat().st_size == 3 * CODES.size * 2
        spool.forget("one")
        spool.begin()
        spool.add(CODES[:, :5])
        spool.commit("one", STAMP, 100, 0.5)
    with opened(tmp_path) as spool:
        assert np.array_equal(spool.codes(spool.records["one"]), CODES[:, :5])
        assert np.array_equal(spool.codes(spool.records["three"]), CODES)


@pytest.mark.parametrize(
    ("ending", "at", "kept"), [("codes", 50, 1), ("codes", 3, 0), ("journal", -3, 3), ("journal", 5, 0)]
)
def test_damage_is_dropped(tmp_path: Path, ending: str, at: int, kept: int) -> None:
    fill(tmp_path)
    file = tmp_path / f"00000.{ending}"
    data = bytearray(file.read_bytes())
    data[at] ^= 4
    file.write_bytes(data)
    with opened(tmp_path) as spool:
        assert list(spool.records) == ["one", "two", "three", "bad"][:kept]


def test_torn_lines_and_other_heads(tmp_path: Path) -> None:
    fill(tmp_path)
    journal = tmp_path / "00000.journal"
    journal.write_bytes(journal.read_bytes()[:-7])
    with opened(tmp_path) as spool:
        assert list(spool.records) == ["one", "two", "three"]
    with opened(tmp_path, "codes of y") as spool:
        assert not spool.records and not (tmp_path / "00000.codes").stat().st_size
    remove_spool(tmp_path / "00000")
    assert not spooled(tmp_path / "00000") and not list(tmp_path.iterdir())


def test_suspects(tmp_path: Path) -> None:
    path = tmp_path / "00000"
    first = Attempts(path, ())
    for key in ("one", "two", "three"):
        first.begin(key)
    second = Attempts(path, {"one": None})  # the first died
    assert second.suspects == {"two": 0, "three": 0}
    second.begin_trial("two")
    third = Attempts(path, {"one": None})  # so did the second
    assert third.suspects == {"two": 1, "three": 0}
    third.acquit("two")
    third.acquit("three")
    third.begin("four")
    third.close()
    assert not list(tmp_path.iterdir()) and not Attempts(path, ()).suspects


def test_two_at_one_spool_are_found_out(tmp_path: Path) -> None:
    """Codes are those that were added, or there is an error; who comes next drops what is not."""
    with opened(tmp_path) as held_up, opened(tmp_path) as other:
        other.begin()
        other.add(CODES)
        record = other.commit("one", STAMP, 240, 1.5)
        assert np.array_equal(other.codes(record), CODES)
        held_up.begin()
        held_up.add(CODES[:, ::-1])
        held_up.commit("two", STAMP, 240, 1.5)
        with pytest.raises(SpoolDamaged, match="the codes of 'one' are not what was written"):
            other.codes(record)
    with opened(tmp_path) as spool:
        assert "one" not in spool.records
