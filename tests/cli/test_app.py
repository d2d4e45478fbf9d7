"""The command line as a whole: exit codes, one line for a mistake, never a traceback."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import solfa
from solfa.cli import app
from solfa.cli.app import COMMANDS, run

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(solfa.__file__).parent.parent)}


def test_help_names_every_command(capsys: pytest.CaptureFixture) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f" {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture) -> None:
    assert run([command, "--help"]) == 0
    assert f"solfa {command}" in capsys.readouterr().out.partition("xample:")[2]


def test_paragraphs_are_made_whole_and_examples_are_kept() -> None:
    doc = """Do it.

    One line,
    and another.
    For example:
        solfa do
        solfa do --it

    Parameters
    ----------
    it
        What is
        done.
    """
    assert app.reflow(doc).splitlines() == [
        "Do it.",
        "",
        "One line, and another. For example:",
        "    solfa do",
        "    solfa do --it",
        "",
        "Parameters",
        "----------",
        "it",
        "    What is",
        "    done.",
    ]


def test_version(capsys: pytest.CaptureFixture) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == solfa.__version__


@pytest.mark.parametrize(
    ("tokens", "word"),
    [
        (["enkode"], "'encode'"),
        (["--jsn"], "--jsn"),
        (["encode"], "no input"),
        (["encode", "x.wav", "--ouut", "y"], "--out"),
        (["encode", "x.wav", "-j", "two"], "two"),
        (["encode", "x.wav", "-j", "-2"], "-2"),
        (["encode", "x.wav", "-j", "1.5"], "1.5: a whole number"),
        (["encode", "x.wav", "--codebooks", "1.5"], "1.5: a whole number"),
        (["encode", "x.wav", "--device", "tpu"], "tpu"),
        (["encode", "x.wav", "--codec", "no-such-codec"], "no-such-codec"),
        (["encode", "x.wav", "-o", "y.mp3"], ".solfa"),
        (["decode", "x.solfa", "--start", "2", "--end", "1"], "--start"),
        (["decode", "x.solfa", "--codebooks", "0"], "--codebooks 0"),
        (["info"], "no input"),
        (["models", "extra"], "extra"),
    ],
)
def test_wrong_usage_is_two_lines_and_exit_code_2(
    tokens: list[str], word: str, capsys: pytest.CaptureFixture, tiny: Path
) -> None:
    if tokens[0] == "encode" and "--codec" not in tokens:
        tokens = [*tokens, "--codec", str(tiny)]
    assert run(tokens) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    mistake, help_line = shown.err.splitlines()
    assert word in mistake
    assert help_line.startswith("Try: solfa") and help_line.endswith("--help")


WORDS = ["encode", "decode", "info", "models", "--json", "--help", "-o", "-j", "1", "@", "@@", "--", "*", "--codec"]


@given(st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=5)), max_size=6))
def test_no_command_line_makes_a_traceback(tokens: list[str]) -> None:
    tokens = [token for token in tokens if token not in ("-", "@-", "/")]  # no stdin here, and not the whole disk
    with tempfile.TemporaryDirectory() as empty, contextlib.chdir(empty):
        assert run(tokens) in (0, 1, 2)


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    run(["info", "no-such-file"])
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv("SOLFA_DEBUG", "1")
    run(["info", "no-such-file"])
    assert "Traceback" in capsys.readouterr().err


def test_errors_of_a_command_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "breaks.py").write_text(
        "def value(): raise ValueError('two\\n lines')\n"
        "def system(): open('/no/such/file')\n"
        "def extra(): import no_such_extra\n"
        "def done(): return None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("value", "system", "extra", "done"):
        monkeypatch.setitem(COMMANDS, name, (f"breaks:{name}", "a test"))
    assert [run([name]) for name in ("value", "system", "extra", "done")] == [1, 1, 1, 0]
    assert capsys.readouterr().err.splitlines() == [
        "solfa value: two lines",
        "solfa system: /no/such/file: No such file or directory",
        "solfa extra: No module named 'no_such_extra'",
    ]


CHATTY = """
import sys
from solfa.cli import app, report

def chatty():
    for _ in range(10_000):
        report.out("a line that nobody reads")

app.COMMANDS["chatty"] = ("__main__:chatty", "a test")
sys.exit(app.run(["chatty"]))
"""


def test_a_reader_that_goes_away_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", CHATTY]
    ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, "")


SLOW = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests in the background may ignore it
from pathlib import Path
from solfa.cli import app
from solfa.cli.jobs import run_jobs

def work(seconds):
    Path(sys.argv[1], str(os.getpid())).touch()
    time.sleep(seconds)

def slow():
    list(run_jobs(work, [600, 0], jobs=2))  # one worker is at it, one has nothing to do

if __name__ == "__main__":
    app.COMMANDS["slow"] = ("__main__:slow", "a test")
    sys.exit(app.run(["slow"]))
"""


def test_ctrl_c_stops_every_worker_at_once(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    marks = tmp_path / "marks"
    marks.mkdir()
    command = [sys.executable, str(tmp_path / "slow.py"), str(marks)]
    main = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True, env=ENVIRONMENT)
    try:
        while len(list(marks.iterdir())) < 2:
            assert main.poll() is None, main.communicate()[1]
            time.sleep(0.05)
        os.killpg(main.pid, signal.SIGINT)  # as a terminal does: to everyone
        _, shown = main.communicate(timeout=60)
        assert main.returncode == 130
        assert shown == "solfa slow: interrupted\n"
        for mark in marks.iterdir():
            with pytest.raises(ProcessLookupError):
                os.kill(int(mark.name), 0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(main.pid, signal.SIGKILL)


def test_the_table_is_whole() -> None:
    for name, (target, _) in COMMANDS.items():
        module, _, attribute = target.partition(":")
        __import__(module)
        assert hasattr(sys.modules[module], attribute), name
    assert not set(app.TOP_OPTIONS) & set(COMMANDS)


def test_ctrl_c_while_the_command_is_loaded() -> None:
    """What is interrupted is the import of the commands, which takes longest."""
    code = (
        "import sys\n"
        "class Hit:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'cyclopts': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Hit())\n"
        "from solfa.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "solfa: interrupted\n")


def test_help_is_pointed_at_where_the_answer_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", "codec", "--nonsense"]) == 2
    assert "Try: solfa eval codec --help" in capsys.readouterr().err
    assert run(["encode", "codec", "--nonsense"]) == 2
    assert "Try: solfa encode --help" in capsys.readouterr().err
