"""`solfa eval codebooks`: token files and stores, one document, another system, pictures; bad files told and left out."""

import json
from pathlib import Path

import numpy as np
import pytest

from solfa.cli.app import run
from solfa.codecs.entropy.integer_lm import IntegerLM, share_table, tensor_shapes
from solfa.codecs.entropy.lm_checkpoint import save_lm
from solfa.codecs.entropy.lm_config import CodeLMConfig
from solfa.codecs.token_file import TokenHeader, TokenWriter
from solfa.eval.codebooks import CodebookCounts
from solfa.tokenize_audio.store.format import Meta, StoreHead, write_head
from solfa.tokenize_audio.store.writer import write_shard

CODES = {"a": [[0, 1, 2, 3], [0, 0, 1, 1]], "b": [[3, 3, 3, 3], [1, 1, 0, 2]]}


def write(path, codes, size=4, lm=None, **changes):
    fields = {"codec": "toy", "weights_hash": "abc", "sample_rate": 8000, "channels": 1, "hop": 80, **changes}
    coding = {} if lm is None else {"coding": "lm", "lm": lm.hash, "block_frames": 1024}
    header = TokenHeader(**fields, **coding, codebooks=len(codes), codebook_size=size)
    path.parent.mkdir(parents=True, exist_ok=True)
    with TokenWriter(path, header, lm) as writer:
        writer.write(np.asarray(codes))
        writer.close(samples=80 * len(codes[0]))


def make_store(folder, items):
    """The first item in a shard of its own, the others in another."""
    head = StoreHead("toy", "abc", 8000, 1, 80, 2, 4)
    write_head(folder, head)
    made = [(Meta(key, 80 * len(codes[0]), len(codes[0]) / 100), np.asarray(codes)) for key, codes in items.items()]
    for shard, part in enumerate((made[:1], made[1:])):
        write_shard(folder, shard, head, part)
    return folder


@pytest.fixture
def tokens(tmp_path):
    for name, codes in CODES.items():
        write(tmp_path / "tokens" / f"{name}.solfa", codes)
    return tmp_path / "tokens"


def measured(capsys, *arguments):
    assert run(["eval", "codebooks", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_files_of_one_codec_are_one_document(tokens, capsys):
    found = measured(capsys, tokens)
    both = CodebookCounts(2, 4)
    both.add([[0, 1, 2, 3, 3, 3, 3, 3], [0, 0, 1, 1, 1, 1, 0, 2]])
    expected = both.report()
    settings = found["settings"]
    assert (found["task"], found["n"], settings["codec"], settings["frames"]) == ("codebooks", 2, "toy", 8)
    assert settings["seconds"] == pytest.approx(0.08)
    assert settings["bitrate"] == pytest.approx(400)  # 100 frames a second of two codes of two bits
    assert settings["entropy_rate"] == pytest.approx(100 * expected.entropy_total)
    rows = found["codebooks"]
    assert [row["entropy"] for row in rows] == pytest.approx([*expected.entropy, expected.entropy_total])
    assert [row["dead"] for row in rows] == [0, 1, 1] and rows[2]["usage"] == expected.usage_total
    assert [row["run_length"] for row in rows] == pytest.approx([8 / 5, 8 / 5, 8 / 5])
    (pair,) = found["mutual_information"]
    assert (pair["codebook"], pair["with"], pair["frames"]) == (0, 1, 8)
    assert [item["name"] for item in found["items"]] == ["a", "b"]
    assert found["items"][1]["values"]["perplexity"] == pytest.approx(2 ** (1.5 / 2))
    assert {"versions", "definitions", "summary", "run_lengths", "bags_of_codes", "failed"} <= found.keys()


def test_a_store_is_measured_as_its_token_files_are(tokens, tmp_path, capsys):
    store = make_store(tmp_path / "store", {f"{name}.wav": codes for name, codes in CODES.items()})
    assert measured(capsys, store) == measured(capsys, tokens)
    both = measured(capsys, store, tokens)
    assert both["n"] == 4 and [item["name"] for item in both["items"]] == ["a.wav", "b.wav", "a.solfa", "b.solfa"]


def test_against_another_codec(tokens, tmp_path, capsys):
    for name in CODES:
        write(tmp_path / "other" / f"{name}.solfa", [[0, 0, 0, 0]], size=16, codec="foreign")
    found = measured(capsys, tokens, "--against", tmp_path / "other")
    assert found["against"]["settings"]["codec"] == "foreign"
    gap = found["against"]["differences"]["run_length"]
    assert gap["n"] == 2 and gap["value"] == pytest.approx(np.mean([(1 + 2) / 2, (4 + 4 / 3) / 2]) - 4)
    assert run(["eval", "codebooks", str(tokens), "--against", str(tmp_path / "other"), "--ci"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("toy (weights abc), 2 x 4: 2 recordings, 0.1 s, 8 frames; 400 bit/s, of which ")
    assert shown[1].startswith("foreign (weights abc), 1 x 16: 2 recordings")
    write(tmp_path / "third" / "z.solfa", CODES["a"])
    assert run(["eval", "codebooks", str(tokens), "--against", str(tmp_path / "third")]) == 1
    assert "no item of one name" in capsys.readouterr().err
    assert run(["eval", "codebooks", str(tokens), "--against", "absent.solfa"]) == 1
    assert capsys.readouterr().err == "absent.solfa: no such file\n"


def test_the_table_has_a_row_for_each_codebook_and_one_for_all(tokens, capsys):
    assert run(["eval", "codebooks", str(tokens / "a.solfa")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == ("toy (weights abc), 2 x 4: 1 recordings, 0.0 s, 4 frames; 400 bit/s, of which 300 are needed")
    at = lines.index("codebooks:")
    columns = "codebook usage dead entropy perplexity efficiency run_length conditional_entropy"
    assert lines[at + 1].split() == columns.split()
    assert lines[at + 2].split()[:7] == ["0", "1", "0", "2", "4", "1", "1"]
    assert lines[at + 3].split()[:7] == ["1", "0.5", "2", "1", "2", "0.5", "2"]
    assert lines[at + 4].split()[:7] == ["all", "0.75", "2", "3", "2.828", "0.75", "1.5"]


def test_many_recordings_are_listed_in_the_document_alone(tmp_path, capsys):
    make_store(tmp_path / "store", {f"{i:02}": [[i % 4, 0], [0, 1]] for i in range(41)})
    assert run(["eval", "codebooks", str(tmp_path / "store")]) == 0
    shown = capsys.readouterr()
    assert "bags_of_codes" not in shown.out and "codebooks:" in shown.out
    assert len(measured(capsys, tmp_path / "store")["bags_of_codes"]) == 41


def test_weights_of_the_bags_can_be_chosen(tokens, capsys):
    rows = {}
    for weights in ("tf_b,idf_b", "tf_o2,idf_e1"):
        found = measured(capsys, tokens, "--tf-idf", weights)
        assert f"{found['settings']['tf']},{found['settings']['idf']}" == weights
        rows[weights] = found["bags_of_codes"]
    # Codes that one file alone has: in binary weights of equals the first.
    assert rows["tf_b,idf_b"][0]["typical"] == "0:0 0:1 0:2" and rows["tf_b,idf_b"][1]["typical"] == "1:2"
    assert rows["tf_o2,idf_e1"][1]["typical"].startswith("1:2 0:3")
    for weights in ("tf_x,idf_b", "tf_b", "idf_b,tf_b"):
        assert run(["eval", "codebooks", str(tokens), "--tf-idf", weights]) == 2
        assert f"--tf-idf {weights}: one of tf_b, " in capsys.readouterr().err


def test_pictures(tokens, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for arguments, name in (([], "codebooks.svg"), (["x.svg"], "x.svg"), (["y.html"], "y.html")):
        assert run(["eval", "codebooks", str(tokens), "--plot", *arguments]) == 0
        assert capsys.readouterr().err == f"{name}\n"
        text = Path(name).read_text()
        assert text.startswith("<svg" if name.endswith("svg") else "<!doctype html>")
        assert text.count("<polyline") == 2 and text.count('class="pair"') == 2
    assert run(["eval", "codebooks", "--plot", str(tokens)]) == 2
    assert "must end in .svg or .html" in capsys.readouterr().err
    assert run(["eval", "codebooks", str(tokens), "--html", "page.html"]) == 0
    assert "toy" in Path("page.html").read_text()


def test_bad_files_are_told_and_not_counted(tmp_path, capsys):
    rng = np.random.default_rng(0)
    write(tmp_path / "damaged.solfa", rng.integers(0, 4, (2, 5000)))
    damaged = bytearray((tmp_path / "damaged.solfa").read_bytes())
    damaged[-2000] ^= 1
    (tmp_path / "damaged.solfa").write_bytes(damaged)
    write(tmp_path / "empty.solfa", np.zeros((2, 0), np.int64), codec="nobody")
    write(tmp_path / "good.solfa", [[0, 1], [2, 3]])
    write(tmp_path / "huge.solfa", np.zeros((100, 1), np.int64), size=1 << 16)
    (tmp_path / "junk.solfa").write_bytes(b"junk")
    write(tmp_path / "larger.solfa", [[0, 1], [2, 3]], size=8)
    write(tmp_path / "other.solfa", [[0, 1], [2, 3]], weights_hash="other")
    assert run(["eval", "codebooks", str(tmp_path), "absent.solfa", "--json"]) == 1
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["n"] == 1 and found["settings"]["frames"] == 2 and len(found["failed"]) == 7
    told = printed.err.splitlines()
    assert len(told) == 7
    for name, words in (
        ("damaged", "checksum"),
        ("empty", "no codes"),
        ("huge", "one codec at a time"),
        ("larger", "codes of toy (weights abc), 2 x 8, the first here are of toy (weights abc), 2 x 4"),
        ("other", "one codec at a time"),
        ("absent", "no such"),
    ):
        assert any(f"{name}.solfa: " in line and words in line for line in told), (name, told)
    assert run(["eval", "codebooks", str(tmp_path / "huge.solfa")]) == 1
    assert "no more than 4194304 codes can be counted" in capsys.readouterr().err
    assert run(["eval", "codebooks"]) == 2


def test_a_damaged_shard_is_told_once(tmp_path, capsys):
    store = make_store(tmp_path / "store", {"a": CODES["a"], "b": CODES["b"], "c": CODES["b"]})
    (path,) = store.glob("00001.codes.*")
    path.write_bytes(path.read_bytes()[:-1])
    assert run(["eval", "codebooks", str(store), "--json"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["n"] == 1
    assert len(printed.err.splitlines()) == 1 and "00001.codes" in printed.err
    (store / "store.json").write_text("{}")
    assert run(["eval", "codebooks", str(store)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_what_is_not_counted_is_said(tokens, capsys, monkeypatch):
    from solfa.eval import code_collection, code_statistics

    monkeypatch.setattr(code_statistics, "MAX_CELLS", 15)
    monkeypatch.setattr(code_collection, "MAX_BAGS", 15)
    assert run(["eval", "codebooks", str(tokens)]) == 0
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 3 and "all pairs of codebooks" in told[0] and told[0].endswith(": none")
    assert "no conditional entropy" in told[1] and told[2] == "2 recordings: too many for bags of codes"


@pytest.fixture
def model(tmp_path):
    """A language model of the toy's codes, which knows nothing."""
    shape = CodeLMConfig("toy", "abc", 2, 4, widths=(4,), dilations=(1,), inner=2, hidden=3)
    shapes = tensor_shapes(shape).items()
    tensors = {name: np.full(size, 9 if name.endswith("exponent") else 1, kind) for name, (size, kind) in shapes}
    save_lm(tmp_path / "lm", lm := IntegerLM(shape, tensors | {"shares": share_table()}))
    return tmp_path / "lm", lm


def test_what_each_coding_takes(tmp_path, model, capsys):
    """Of each file, and of all together; of a store the same; what an lm file holds is read by its lm."""
    place, lm = model
    rng = np.random.default_rng(0)
    takes = {"a": rng.integers(0, 4, (2, 40)), "b": np.zeros((2, 400), int), "c": rng.integers(0, 4, (2, 1))}
    for name, codes in takes.items():
        write(tmp_path / "tokens" / f"{name}.solfa", codes)
        write(tmp_path / "coded" / f"{name}.solfa", codes, lm=lm)
    found = measured(capsys, tmp_path / "tokens", "--lm", place)
    rows = {row["coding"]: row for row in found["codings"]}
    assert list(rows) == ["packed", "adaptive", "lm"] and {row["n"] for row in rows.values()} == {3}
    assert rows["adaptive"]["bits"] < rows["packed"]["bits"] and rows["lm"]["bits"] < rows["packed"]["bits"]
    assert rows["lm"]["bits"] == pytest.approx((rows["lm"]["0"] + rows["lm"]["1"]) / 2)
    assert rows["lm"]["saved"] == pytest.approx(1 - rows["lm"]["bits"] / 2)
    stored = 8 * sum(path.stat().st_size for path in (tmp_path / "coded").glob("*.solfa"))
    assert rows["lm"]["kbps"] == pytest.approx(stored / 4.41 / 1000)
    values = {item["name"]: item["values"] for item in found["items"]}
    alone = 8 * (tmp_path / "tokens/b.solfa").stat().st_size
    assert values["b"]["packed kbps"] == pytest.approx(alone / 4 / 1000)
    assert values["c"]["adaptive bits"] == 8 and values["c"]["adaptive saved"] == -3  # a byte for a code of two bits
    assert found["settings"]["lm_hash"] == lm.hash and "lm saved" in found["definitions"]
    store = make_store(tmp_path / "store", takes)
    assert measured(capsys, store, "--lm", place) == found
    assert measured(capsys, tmp_path / "coded", "--lm", place) == found
    assert run(["eval", "codebooks", str(tmp_path / "coded")]) == 1 and "give its folder" in capsys.readouterr().err
    plain = measured(capsys, tmp_path / "tokens", "--codings")
    assert [row["coding"] for row in plain["codings"]] == ["packed", "adaptive"] and "codings" not in measured(
        capsys, store
    )
    assert run(["eval", "codebooks", str(store), "--lm", str(place), "--ci"]) == 0
    shown = capsys.readouterr()
    assert "adaptive saved" in shown.out and "codings:" in shown.out and "the first 12" not in shown.err


def test_two_systems_are_compared_by_what_they_take(tokens, tmp_path, capsys):
    for name in CODES:
        write(tmp_path / "other" / f"{name}.solfa", np.zeros((2, 400), int))
    found = measured(capsys, tokens, "--codings", "--against", tmp_path / "other")
    assert found["against"]["differences"]["adaptive bits"]["value"] == pytest.approx(2 - 0.5)


def test_a_language_model_that_does_not_fit(tokens, model, tmp_path, capsys):
    place, _ = model
    write(tmp_path / "other.solfa", CODES["a"], weights_hash="other")
    write(tmp_path / "more.solfa", [*CODES["a"], [0, 0, 0, 0]])
    for words, said in (
        ([tmp_path / "other.solfa", "--lm", place], "is a language model of codes of toy (abc)"),
        ([tmp_path / "more.solfa", "--lm", place], "knows 2 codebooks of toy: there are 3"),
        ([tokens, "--lm", place, "--against", tmp_path / "other.solfa"], "is a language model of codes of toy (abc)"),
        ([tokens, "--lm", tmp_path / "none"], "there is no language model"),
    ):
        assert run(["eval", "codebooks", *map(str, words)]) == 2
        error = capsys.readouterr().err
        assert f"--lm {words[words.index('--lm') + 1]}: " in error and said in error and "Traceback" not in error


def test_codebooks_too_large_for_a_coding(tmp_path, capsys):
    write(tmp_path / "a.solfa", [[0, 20_000]], size=1 << 15)
    assert run(["eval", "codebooks", str(tmp_path), "--codings", "--json"]) == 0
    shown = capsys.readouterr()
    assert [row["coding"] for row in json.loads(shown.out)["codings"]] == ["packed"]
    assert "1 x 32768: codebooks too large for any coding but packed" in shown.err
