"""`solfa tokenize`: from folders to a store, as a user types it."""

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

import solfa
from solfa.cli.app import run
from solfa.tokenize_audio.store.format import read_manifest


def contents(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.iterdir() if path.is_file() and path.name != "status.json"}


@pytest.fixture
def corpus(recordings: Path) -> Path:
    """Three recordings, one of which is none."""
    (recordings / "bad.wav").write_bytes(b"no sound")
    return recordings


def test_a_folder_becomes_a_store(
    tmp_path: Path, tiny: Path, corpus: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["tokenize", "in", "-o", "store", "--codec", os.path.relpath(tiny), "--shard-items", "2", "-j", "1"]
    assert run([*command, "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{tmp_path}/store: 2 of 2 shards to do, 3 files\n"
    assert not (tmp_path / "store").exists()
    assert run(command) == 1
    shown = capsys.readouterr()
    assert shown.out.startswith(f"{tmp_path}/store: 2 of 2 shards, 2 items, 0.00 h; 2 encoded now in ")
    assert shown.out.endswith("x real time, 1 failed\n")
    assert [line for line in shown.err.splitlines() if line.startswith("in/bad.wav: ")]
    status = json.loads((tmp_path / "store/status.json").read_text())
    assert (status["state"], status["files_done"], status["failed_files"]) == ("done", 3, 1)
    before = contents(tmp_path / "store")
    with open(tmp_path / "store/00000.codes.safetensors", "rb") as file:
        assert file.read() == before["00000.codes.safetensors"]
    # Again: nothing is encoded, and what failed is named again.
    assert run([*command, "--json"]) == 1
    summary = json.loads(capsys.readouterr().out)
    assert (summary["encoded"], summary["items"], summary["shards_done"], summary["exit_code"]) == (0, 2, 2, 1)
    assert [entry["key"] for entry in summary["failed"]] == ["bad.wav"]
    assert contents(tmp_path / "store") == before
    # A file that is mended is encoded when it is there; the store's other shard stays.
    soundfile.write(corpus / "bad.wav", np.zeros(400), 8000)
    assert run(command) == 0
    assert contents(tmp_path / "store")["00001.codes.safetensors"] == before["00001.codes.safetensors"]
    assert [read_manifest("store", index).items for index in (0, 1)] == [2, 1]


def test_a_pattern_makes_the_store_of_the_folder(
    tmp_path: Path, tiny: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for source, store in (("in", "a"), ("in/**/*", "b")):
        assert run(["tokenize", source, "-o", store, "--codec", str(tiny), "-j", "1"]) == 0
    assert contents(Path("a")) == contents(Path("b"))


@pytest.mark.parametrize("engine", [[], ["--retry"], ["--engine", "ranks", "--rank", "0", "--world", "1", "--retry"]])
def test_sources_that_name_nothing_leave_nothing(
    engine: list[str], tmp_path: Path, tiny: Path, corpus: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "gone.csv").write_text("audio\nx.wav\ny.wav\n")
    for source, told in (
        (str(corpus / "*.flac"), "no file matches"),
        (str(corpus / "gone.wav"), "gone.wav: no such file: there is nothing"),
        (str(tmp_path / "gone.csv"), "x.wav: no such file, nor any of the 1 others"),
        (str(tmp_path / "empty"), "no sound file in it"),
    ):
        assert run(["tokenize", source, "-o", str(tmp_path / "store"), "--codec", str(tiny), *engine]) == 2
        said = capsys.readouterr().err
        assert told in said and not (tmp_path / "store").exists(), said


def test_a_file_that_is_gone_is_a_failure_beside_others(
    tmp_path: Path, tiny: Path, corpus: Path, capsys: pytest.CaptureFixture
) -> None:
    command = ["-o", str(tmp_path / "store"), "--codec", str(tiny), "-j", "1"]
    gone, there = str(corpus / "gone.wav"), str(corpus / "a.wav")
    assert run(["tokenize", gone, there, *command]) == 1
    assert f"{gone}: " in capsys.readouterr().err and read_manifest(tmp_path / "store", 0).items == 1
    (corpus / "a.wav").unlink()
    assert run(["tokenize", there, *command]) == 0, "what a store has it keeps"


def test_what_failed_counts_as_long_as_it_is_named(
    tmp_path: Path, tiny: Path, corpus: Path, capsys: pytest.CaptureFixture
) -> None:
    """A bad file that was removed is no failure of a command that does not name it; nor is another corpus's."""
    command = ["-o", str(tmp_path / "store"), "--codec", str(tiny), "-j", "1", "--json"]
    assert run(["tokenize", str(corpus), *command]) == 1
    capsys.readouterr()
    (corpus / "bad.wav").unlink()
    assert run(["tokenize", str(corpus), *command]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["failed"], summary["items"], summary["encoded"]) == ([], 2, 0)
    assert read_manifest(tmp_path / "store", 0).quarantined
    assert run(["tokenize", str(corpus), *command, "--retry"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["failed"], summary["items"], summary["encoded"]) == ([], 2, 0)
    assert not read_manifest(tmp_path / "store", 0).quarantined


def test_shards_do_not_hang_on_the_workers(
    tmp_path: Path, tiny: Path, corpus: Path, capsys: pytest.CaptureFixture
) -> None:
    for i in range(7):
        soundfile.write(corpus / f"more-{i}.wav", np.zeros(400), 8000)
    command = ["tokenize", str(corpus), "-o", str(tmp_path / "store"), "--codec", str(tiny), "--dry-run", "--json"]
    plans = []
    for more in (["-j", "1"], ["-j", "64"], ["--engine", "ray"], ["--engine", "ranks", "--rank", "2", "--world", "3"]):
        assert run([*command, *more]) == 0
        plans.append(json.loads(capsys.readouterr().out))
    assert plans[0]["shards"] == 3 and plans[0]["files"] == 10 and plans == plans[:1] * 4
    assert run([*command, "--shard-items", "7"]) == 0
    assert json.loads(capsys.readouterr().out)["shards"] == 2


def test_wrong_usage(tmp_path: Path, tiny: Path, corpus: Path, capsys: pytest.CaptureFixture) -> None:
    store = str(tmp_path / "store")
    command = ["tokenize", str(corpus), "-o", store, "--codec", str(tiny)]
    for more, word in (
        (["-j", "-1"], "-j -1"),
        (["--rank", "0", "--world", "2"], "--engine ranks"),
        (["--address", "auto"], "--engine ray"),
        (["--engine", "ranks", "--rank", "2", "--world", "2"], "0 to 1"),
        (["--shard-items", "0"], "at least 1"),
        (["--timeout", "0"], "timeout"),
        (["--codebooks", "5"], "1 to 4"),
    ):
        assert run([*command, *more]) == 2
        assert word in capsys.readouterr().err
    assert run(["tokenize", "-o", store, "--codec", str(tiny)]) == 2
    assert run(["tokenize", str(tmp_path / "none"), "-o", str(corpus), "--codec", str(tiny)]) == 2
    assert not Path(store).exists()
    assert not (corpus / ".work").exists()


@pytest.mark.parametrize("address", [[], ["--address", "auto"]])
def test_actors_without_room_are_refused_before_anything_is_done(
    address: list[str],
    tmp_path: Path,
    tiny: Path,
    corpus: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from solfa.tokenize_audio.engines import ray
    from solfa.tokenize_audio.work import plan

    def never(*_: object, **__: object) -> None:
        raise AssertionError("too early")

    cluster = SimpleNamespace(nodes=lambda: [{"Alive": True, "Resources": {"CPU": 2.0}}])
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "_cluster", (lambda *_: nullcontext(cluster)) if address else never)
    monkeypatch.setattr(ray, "find_spec", lambda name: object())
    monkeypatch.setattr(ray, "cores", lambda: 2)
    monkeypatch.setattr(plan, "plan", never)
    command = ["tokenize", str(corpus), "-o", str(tmp_path / "store"), "--codec", str(tiny), "--engine", "ray"]
    assert run([*command, *address, "-j", "99"]) == 2
    assert "99 actors of 1 CPU and 0 GPUs: the machine has 2 CPUs and 0 GPUs, room for 2" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


def test_ray_that_is_missing_leaves_nothing(
    tmp_path: Path, tiny: Path, corpus: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    command = ["tokenize", str(corpus), "-o", str(tmp_path / "store"), "--codec", str(tiny), "--engine", "ray"]
    for address in ([], ["--address", "10.0.0.1:6379"]):
        assert run([*command, *address]) == 1
        assert 'pip install "solfa[scale]"' in capsys.readouterr().err and not (tmp_path / "store").exists()


def test_an_address_is_no_place_to_write_to(
    tmp_path: Path, tiny: Path, corpus: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert run(["tokenize", str(corpus), "-o", "memory://x/y", "--codec", str(tiny), "-j", "1"]) == 2
    assert "goes to files of this machine" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_a_store_of_another_codec_is_refused(
    tmp_path: Path, tiny: Path, other: Path, corpus: Path, capsys: pytest.CaptureFixture
) -> None:
    from solfa.tokenize_audio.store.format import StoreHead, write_head

    write_head(tmp_path / "store", StoreHead.of_codec(solfa.load_codec(other)))
    assert run(["tokenize", str(corpus), "-o", str(tmp_path / "store"), "--codec", str(tiny)]) == 2
    assert "weights" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["a_file", "a_file/store"])
def test_a_place_that_cannot_be_written_is_named(
    place: str, tmp_path: Path, tiny: Path, corpus: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "a_file").touch()
    assert run(["tokenize", str(corpus), "-o", str(tmp_path / place), "--codec", str(tiny)]) == 1
    said = capsys.readouterr().err
    assert str(tmp_path / place) in said and "Not a directory" in said and "Traceback" not in said


def test_a_store_that_another_run_has_is_locked(
    tmp_path: Path, tiny: Path, corpus: Path, capsys: pytest.CaptureFixture
) -> None:
    claim = (
        "import sys; from solfa.tokenize_audio.work.job import run_claim\n"
        "with run_claim(sys.argv[1]): print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", claim, str(tmp_path / "store")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert run(["tokenize", str(corpus), "-o", str(tmp_path / "store"), "--codec", str(tiny)]) == 1
        assert f"is locked by process {holder.pid} on" in capsys.readouterr().err
        holder.communicate()


def test_ranks_share_the_work_by_their_variables(
    tmp_path: Path, tiny: Path, corpus: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One rank that is alone does all of it, and says so."""
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    store = tmp_path / "store"
    command = ["tokenize", str(corpus), "-o", str(store), "--codec", str(tiny), "--engine", "ranks", "--json"]
    assert run([*command, "--shard-items", "2"]) == 1
    summary = json.loads(capsys.readouterr().out)
    assert (summary["shards_done"], summary["elsewhere"], summary["items"]) == (2, 0, 2)
    assert json.loads((store / ".work/status-00001.json").read_text())["shards_done"] == 2


def test_a_worker_has_the_limits_of_its_own_run(tmp_path: Path, tiny: Path, corpus: Path) -> None:
    """Whatever another rank has written down since."""
    from solfa.tokenize_audio.engines.worker import Bench
    from solfa.tokenize_audio.work.job import Job

    store = tmp_path / "store"
    assert run(["tokenize", str(corpus), "-o", str(store), "--codec", str(tiny), "-j", "1"]) == 1
    job = Job.load(store)
    assert job is not None
    replace(job, device="cuda", timeout=9.0).save()
    assert Bench(str(store), own=job.own).job == job
