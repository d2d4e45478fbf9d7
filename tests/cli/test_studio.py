import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from solfa.cli import app

NONE = ["--music", "none", "--notes", "none"]


def test_it_answers_on_this_machine_until_ctrl_c_and_leaves_nothing(
    tmp_path: Path, tiny_music: Callable[..., tuple[Path, Path]]
) -> None:
    pytest.importorskip("starlette", reason="starlette is not installed: pip install 'solfa[studio]'")
    codec, lm = tiny_music()
    for number, code, last in (
        (signal.SIGINT, 130, "solfa studio: interrupted\n"),
        (signal.SIGTERM, 128 + signal.SIGTERM, ""),
    ):
        line = [
            sys.executable,
            "-m",
            "solfa",
            "studio",
            "--port",
            "0",
            "--codec",
            codec,
            "--music",
            lm,
            "--notes",
            "none",
        ]
        process = subprocess.Popen(
            [*map(str, line), "--device", "cpu"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
            preexec_fn=partial(
                signal.signal, signal.SIGINT, signal.default_int_handler
            ),  # which a shell's & may have taken away
        )
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:") and address.endswith("/")
            client = http.client.HTTPConnection("127.0.0.1", int(address.split(":")[2][:-1]), timeout=60)
            client.request("GET", "/")
            assert b"<h1>Studio</h1>" in client.getresponse().read()
            client.request("GET", "/", headers={"Host": "evil.example"})
            assert client.getresponse().read() and client.sock is not None
            client.request(
                "POST", "/jobs/music", json.dumps({"prompt": "a waltz", "duration": 600})
            )  # goes on when it ends
            assert json.loads(client.getresponse().read())["state"] in ("waiting", "running")
            assert len(list(tmp_path.glob("solfa-studio-*/*"))) == 1
            process.send_signal(number)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
        assert process.returncode == code and said == f"Ctrl-C ends it\n{last}"
        assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "starlette", None)
    assert app.run(["studio", "--port", "0"]) == 1
    assert (
        capsys.readouterr().err == 'solfa studio: the studio needs starlette and uvicorn: pip install "solfa[studio]"\n'
    )


def test_a_port_that_is_taken_or_none(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert app.run(["studio", "--port", str(port)]) == 2
    assert f"--port {port}: Address already in use" in capsys.readouterr().err
    assert app.run(["studio", "--port", "65536"]) == 2


@pytest.mark.parametrize("option", ["--codec", "--music", "--notes"])
@pytest.mark.parametrize("name", ["no-such-model", "owner/model", "encodec-24khz", "musicgen-small"])
def test_models_that_are_not_here_are_not_fetched(
    tiny: Path, option: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fetched(*_: object) -> None:
        raise AssertionError("it would fetch")

    monkeypatch.setattr("solfa.foreign.hub.fetch", fetched)
    monkeypatch.setattr("solfa.foreign.hub.configuration", fetched)
    codec = [] if option == "--codec" else ["--codec", str(tiny)]
    rest = [word for pair in (("--music", "none"), ("--notes", "none")) if pair[0] != option for word in pair]
    assert app.run(["studio", "--port", "0", *codec, *rest, option, name, "--device", "cpu"]) == 2
    assert f"{option} {name}: " in capsys.readouterr().err
