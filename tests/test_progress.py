"""What is shown of a work that takes long, and how often."""

import io
import sys

import pytest

from solfa import progress
from solfa.progress import Bar, duration


def test_quiet_is_silent_and_a_terminal_is_drawn_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    for quiet in (True, False):
        monkeypatch.setattr(sys, "stderr", terminal := Terminal())
        with Bar("a [name]", 0, quiet) as bar:
            now[0] += 31.0
            bar.show(0, "some [words]")
            bar.say("[told]")
            bar.show(0, "too soon")
        drawn = terminal.getvalue()
        assert "too soon" not in drawn
        assert [text in drawn for text in ("a [name]", "some [words]", "[told]")] == [not quiet] * 3


def test_durations() -> None:
    assert [duration(seconds) for seconds in (59.4, 61, 7260)] == ["59s", "1m01s", "2h01m"]
