"""`solfa studio`: the jobs of the command line in a browser."""

import socket
import tempfile
from importlib.util import find_spec
from pathlib import Path

from solfa import __version__
from solfa.cli import load, report
from solfa.cli.report import UsageError

HOST = "127.0.0.1"
MISSING = 'the studio needs starlette and uvicorn: pip install "solfa[studio]"'


def studio(
    *,
    port: int = 8000,
    codec: str = "solfa-24khz",
    music: str = "solfa-music",
    notes: str = "solfa-notes",
    device: report.Device = "auto",
    open: report.Flag = False,
) -> int:
    """Tokens, music and notes in a browser, served to this machine alone

    One page: the tokens of a recording and what is played of them, music from a description, the notes of either. Nothing is sent
    anywhere, nothing is fetched, and what is made is gone at the end, unless it was downloaded. Ctrl-C ends it.

    Example:
        solfa studio --open
        solfa studio --port 8080 --music musicgen-small

    Parameters
    ----------
    port
        Where it listens, on 127.0.0.1; 0 takes one that is free.
    codec
        A name that `solfa models` lists, or a checkpoint folder.
    music
        The model that writes music: a name that `solfa models` lists, or a checkpoint folder; none leaves it out.
    notes
        The model that hears notes: a name that `solfa models` lists, or a checkpoint folder; none leaves it out.
    device
        Where the codec and the models run; auto takes CUDA if it is there.
    open
        Open the page in the browser.
    """
    if not 0 <= port <= 65535:
        raise UsageError(f"--port {port}: 0 to 65535")
    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        raise ImportError(MISSING)
    with _listening(port) as listening, tempfile.TemporaryDirectory(prefix="solfa-studio-") as folder:
        _serve(listening, Path(folder), codec, music, notes, report.device(device), open)
    return report.DONE


def _listening(port: int) -> socket.socket:
    """Taken before anything is loaded: what cannot be is said at once, and a browser that comes early waits."""
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise UsageError(f"--port {port}: {error.strerror}") from error


def _serve(listening: socket.socket, folder: Path, codec: str, music: str, notes: str, device: str, show: bool) -> None:
    """Loads the models and answers until Ctrl-C."""
    import webbrowser

    from solfa.studio.desk import Desk
    from solfa.studio.server import Server, serve
    from solfa.studio.works import Works

    coder = load.checked_codec(codec, device, fetch=False)
    works = Works(
        coder, load.writer(music, coder, device, fetch=False), load.listener(notes, coder, device, fetch=False)
    )
    desk = Desk(folder, _told)
    port = listening.getsockname()[1]
    footer = f"solfa {__version__} · codec {coder.name}, weights {coder.weights_hash[:16]}"
    try:
        report.out(f"http://{HOST}:{port}/")
        report.say("Ctrl-C ends it")
        if show:
            webbrowser.open(f"http://{HOST}:{port}/")
        serve(Server(works, desk, footer).app(port), listening)
    finally:
        desk.close()


def _told(error: BaseException) -> str:
    """A failed job as the page shows it; SOLFA_DEBUG=1 shows its traceback at the terminal."""
    report.show_traceback(error)
    return report.reason(error)
