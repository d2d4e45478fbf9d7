"""`solfa eval codebooks`: numbers from token files, grouped by codec, bad files told and left out."""

import json

import numpy as np
import pytest

from solfa.cli.eval_codebooks import codebooks
from solfa.cli.report import DONE, FAILED
from solfa.codecs.token_file import TokenHeader, TokenWriter
from solfa.eval.codebooks import CodebookCounts


def write(path, codes, size=4, **changes):
    fields = {"codec": "toy", "weights_hash": "abc", "sample_rate": 8000, "channels": 1, "hop": 80, **changes}
    header = TokenHeader(**fields, codebooks=len(codes), codebook_size=size)
    with TokenWriter(path, header) as writer:
        writer.write(np.asarray(codes))
        writer.close(samples=80 * len(codes[0]))


def test_files_of_one_codec_are_counted_together(tmp_path, capsys):
    write(tmp_path / "a.solfa", [[0, 1, 2, 3], [0, 0, 1, 1]])
    write(tmp_path / "b.solfa", [[3, 3, 3, 3], [1, 1, 0, 2]])
    assert codebooks(str(tmp_path), json=True) == DONE
    (result,) = json.loads(capsys.readouterr().out)
    both = CodebookCounts(2, 4)
    both.add([[0, 1, 2, 3, 3, 3, 3, 3], [0, 0, 1, 1, 1, 1, 0, 2]])
    expected = both.report()
    assert (result["codec"], result["files"], result["frames"]) == ("toy", 2, 8)
    assert result["seconds"] == pytest.approx(0.08)
    assert result["entropy"] == pytest.approx(expected.entropy)
    assert result["dead"] == [0, 1]
    assert result["usage_total"] == expected.usage_total
    assert result["bitrate"] == pytest.approx(400)  # 100 frames a second of two codes of two bits
    assert result["entropy_rate"] == pytest.approx(100 * expected.entropy_total)


def test_codecs_are_kept_apart(tmp_path, capsys):
    write(tmp_path / "a.solfa", [[0, 1]])
    write(tmp_path / "b.solfa", [[0, 1], [2, 3]])
    write(tmp_path / "c.solfa", [[0, 1]], weights_hash="other")
    write(tmp_path / "d.solfa", [[0, 1]], size=8)
    assert codebooks(str(tmp_path), json=True) == DONE
    assert [result["files"] for result in json.loads(capsys.readouterr().out)] == [1, 1, 1, 1]


def test_the_table_has_a_row_for_each_codebook_and_one_for_all(tmp_path, capsys):
    write(tmp_path / "a.solfa", [[0, 1, 2, 3], [0, 0, 1, 1]])
    assert codebooks(str(tmp_path / "a.solfa")) == DONE
    heading, names, first, second, last = capsys.readouterr().out.splitlines()
    assert heading.startswith("toy (weights abc): 1 files, 0.0 s, 4 frames; 400 bit/s, of which 300 are needed")
    assert names.split() == ["codebook", "usage", "dead", "entropy", "perplexity", "efficiency"]
    assert first.split() == ["0", "1", "0", "2", "4", "1"]
    assert second.split() == ["1", "0.5", "2", "1", "2", "0.5"]
    assert last.split() == ["all", "0.75", "2", "3", "2.828", "0.75"]


def test_bad_files_are_told_and_not_counted(tmp_path, capsys):
    rng = np.random.default_rng(0)
    write(tmp_path / "damaged.solfa", rng.integers(0, 4, (2, 5000)))
    damaged = bytearray((tmp_path / "damaged.solfa").read_bytes())
    damaged[-2000] ^= 1
    (tmp_path / "damaged.solfa").write_bytes(damaged)
    write(tmp_path / "empty.solfa", np.zeros((2, 0), np.int64))
    write(tmp_path / "good.solfa", [[0, 1], [2, 3]])
    write(tmp_path / "huge.solfa", np.zeros((100, 1), np.int64), size=1 << 16)
    (tmp_path / "junk.solfa").write_bytes(b"junk")
    assert codebooks(str(tmp_path), "absent.solfa", json=True) == FAILED
    printed = capsys.readouterr()
    (result,) = json.loads(printed.out)
    assert result["frames"] == 2
    told = printed.err.splitlines()
    assert len(told) == 5
    for name, words in (
        ("damaged", "checksum"),
        ("empty", "no codes"),
        ("huge", "no more than"),
        ("absent", "no such"),
    ):
        assert any(f"{name}.solfa: " in line and words in line for line in told), (name, told)
