"""Ctrl-C once and twice, and SIGTERM."""

import signal
import threading

import pytest

from solfa.tokenize_audio.engines.stop import Stop


def test_once_is_soon_and_twice_is_now() -> None:
    with Stop() as stop:
        assert (stop.soon, stop.now, stop.signal) == (False, False, 0)
        signal.raise_signal(signal.SIGINT)
        assert (stop.soon, stop.now, stop.signal) == (True, False, signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert (stop.soon, stop.now, stop.signal) == (True, True, signal.SIGINT)


def test_terminated_is_now() -> None:
    with Stop() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert (stop.soon, stop.now, stop.signal) == (True, True, signal.SIGTERM)


def test_what_was_before_is_put_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Stop():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_in_another_thread_nothing_is_caught() -> None:
    before = signal.getsignal(signal.SIGINT)
    found = []

    def work() -> None:
        with Stop() as stop:
            found.append((stop.soon, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(False, before)]
