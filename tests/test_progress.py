"""What is shown of a work that takes long, and how often."""

import io
import sys

import pytest

from solfa import progress
from solfa.progress import Bar, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    moment = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: moment[0])
    return moment


def at_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    return terminal


def test_quiet_is_silent_and_a_terminal_is_drawn_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for quiet in (True, False):
        terminal = at_terminal(monkeypatch)
        with Bar("a [name]", 0, quiet) as bar:
            bar.show(0, "some [words]")
            bar.say("[told]")
        drawn = terminal.getvalue()
        assert [text in drawn for text in ("a [name]", "some [words]", "[told]")] == [not quiet] * 3


def test_a_files_name_does_not_speak_to_the_terminal(
    now: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    name, told = "a\nb\x1b]0;mine\x07.wav", r"a\nb\x1b]0;mine\x07.wav"
    with Bar("encode", 2) as bar:
        bar.say(name)
        now[0] += 30.0
        bar.advance(1, name)
    assert capsys.readouterr().err.splitlines() == [told, f"encode: 1/2, 30s left, {told}"]
    terminal = at_terminal(monkeypatch)
    with Bar("encode", 2) as bar:
        bar.advance(1, name)
        bar.say(name)
    assert terminal.getvalue().count(told) >= 2 and "mine\x07" not in terminal.getvalue()


def test_a_pipe_gets_a_line_every_half_minute(now: list[float], capsys: pytest.CaptureFixture) -> None:
    with Bar("encode", 6) as bar, Bar("read", None) as unknown:
        bar.advance(1, "a.wav")  # too soon
        now[0] += 30.0
        assert bar.due
        bar.advance(2, "c.wav")
        assert not bar.due
        unknown.advance(1, "one shard")
        now[0] += 29.0
        bar.advance(2, "e.wav")
        now[0] += 1.0
        bar.advance(1)
    assert capsys.readouterr().err.splitlines() == [
        "encode: 3/6, 30s left, c.wav",
        "read: one shard",
        "encode: 6/6",
    ]


def test_a_bar_shows_the_newest_and_says_when_more_is_due(now: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = at_terminal(monkeypatch)
    with Bar("encode", 4) as bar:
        now[0] += 4.0
        for name in ("a.wav", "b.wav"):  # at once; the next may be long in coming
            bar.advance(1, name)
        assert not bar.due
        now[0] += 0.2
        assert bar.due
    assert "2/4, 4s left, b.wav" in terminal.getvalue()


def test_results_go_to_their_file_beside_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    for place, above in ((io.StringIO(), False), (Terminal(), True)):
        terminal = at_terminal(monkeypatch)
        monkeypatch.setattr(sys, "stdout", place)
        with Bar("encode", 4):
            print("a result")
        assert place.getvalue() == ("" if above else "a result\n")
        assert ("a result" in terminal.getvalue()) == above


def test_durations() -> None:
    assert [duration(seconds) for seconds in (59.4, 61, 7260)] == ["59s", "1m01s", "2h01m"]
