"""`solfa studio` as a server for one person: a page, jobs, their files. Only this machine reaches it, and only its own page is answered."""

from __future__ import annotations

import json
import signal
import socket
import sys
from dataclasses import fields
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from solfa.parent import TERMINATED
from solfa.studio.desk import Busy, Desk, Job
from solfa.studio.workbench import LARGEST, POLICY, workbench
from solfa.studio.works import Wish, Works

HOST = "127.0.0.1"
MOST_WORDS = 1 << 16  # bytes of a wish
MOST_NAME = 200  # characters
KINDS = {  # of the files that jobs make
    ".wav": "audio/wav",
    ".mid": "audio/midi",
    ".musicxml": "application/vnd.recordare.musicxml+xml",
    ".svg": "image/svg+xml",
    ".abc": "text/vnd.abc",
}
HEADERS = {
    "content-security-policy": f"{POLICY}; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Guard:
    """Refuses what was not sent by this server's own page: another name of the machine (which a stranger's domain may stand for, DNS
    rebinding), or another site as the origin. Puts `HEADERS` on every answer."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._hosts = {f"{name}:{port}" for name in (HOST, "localhost")}
        if port == 80:
            self._hosts |= {HOST, "localhost"}  # browsers leave it out

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # a websocket: there are none
            raise AssertionError(scope["type"])
        headers = Headers(scope=scope)
        origins = {f"http://{host}" for host in self._hosts}
        hosts, senders = headers.getlist("host"), headers.getlist("origin")

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in HEADERS.items()),
                ]
            await send(message)

        if len(hosts) != 1 or hosts[0].lower() not in self._hosts or not set(senders) <= origins:
            await _refused(403, "this address and page are not the studio's")(scope, receive, answer)
        else:
            await self._app(scope, receive, answer)


class Server:
    """The routes. works: what the jobs do; desk: where they wait."""

    def __init__(self, works: Works, desk: Desk, footer: str) -> None:
        self._works, self._desk, self._page = works, desk, workbench(works, footer)

    def app(self, port: int) -> ASGIApp:
        """What answers on that port."""
        routes = [
            Route("/", self._home),
            Route("/jobs/recording", self._recording, methods=["POST"]),
            Route("/jobs/music", self._music, methods=["POST"]),
            Route("/jobs/notes", self._notes, methods=["POST"]),
            Route("/jobs/{key}", self._state),
            Route("/jobs/{key}", self._stop, methods=["DELETE"]),
            Route("/jobs/{key}/page", self._result),
            Route("/results/{key}/{name}", self._file),
        ]
        return Guard(Starlette(routes=routes), port)

    async def _home(self, request: Request) -> Response:
        return HTMLResponse(self._page)

    async def _recording(self, request: Request) -> Response:
        return await self._received(request, lambda job: self._works.recording(job))

    async def _music(self, request: Request) -> Response:
        try:
            wish = _wish(await _words(request))
            job = self._desk.open(wish.prompt)
        except Busy as error:
            return _refused(429, str(error))
        except ValueError as error:
            return _refused(400, str(error))
        self._desk.put(job, lambda job: self._works.music(job, wish))
        return self._told(job, 202)

    async def _notes(self, request: Request) -> Response:
        if "of" not in request.query_params:
            return await self._received(request, lambda job: self._works.notes(job, None))
        source = self._desk.find(request.query_params["of"])
        if source is None or source.result is None:
            return _refused(404, "that result is not kept any more: make it again")
        try:
            job = self._desk.open(source.name)
        except Busy as error:
            return _refused(429, str(error))
        of = source.result
        self._desk.put(job, lambda job: self._works.notes(job, of))
        return self._told(job, 202)

    async def _state(self, request: Request) -> Response:
        job = self._desk.find(request.path_params["key"])
        return _gone() if job is None else self._told(job)

    async def _stop(self, request: Request) -> Response:
        job = self._desk.find(request.path_params["key"])
        if job is None:
            return _gone()
        self._desk.stop(job)
        return self._told(job)

    async def _result(self, request: Request) -> Response:
        job = self._desk.find(request.path_params["key"])
        return _gone() if job is None or job.result is None else HTMLResponse(job.result.html)

    async def _file(self, request: Request) -> Response:
        """A file of a result: one of those that it lists, so that no name from outside becomes a path."""
        job = self._desk.find(request.path_params["key"])
        listed = {path.name: path for path in job.result.files} if job and job.result else {}
        path = listed.get(request.path_params["name"])
        if path is None or not path.is_file():
            return _gone()
        return FileResponse(path, media_type=KINDS.get(path.suffix, "application/octet-stream"))

    async def _received(self, request: Request, work: Any) -> Response:
        """The body as the upload of a new job."""
        name = " ".join(request.query_params.get("name", "").split())[:MOST_NAME] or "recording"
        try:
            job = self._desk.open(name)
        except Busy as error:
            return _refused(429, str(error))
        try:
            size = await _written(request, job)
        except ClientDisconnect:
            self._desk.stop(job)
            return _gone()
        except OSError as error:
            self._desk.fail(job, error.strerror or str(error))
            return _refused(507, f"{name}: {error.strerror or error}")
        if size > LARGEST:
            self._desk.fail(job, "too large")
            return _refused(413, f"{name}: more than {LARGEST / 1e6:,.0f} MB, the most that is taken")
        self._desk.put(job, work)
        return self._told(job, 202)

    def _told(self, job: Job, status: int = 200) -> Response:
        """How a job is doing."""
        facts = {
            "id": job.id,
            "name": job.name,
            "state": job.state,
            "ahead": self._desk.ahead(job),
            "done": job.done,
            "doing": job.doing,
            "said": job.said,
            "error": job.error,
        }
        return JSONResponse(facts, status, headers={"cache-control": "no-store"})


def serve(app: ASGIApp, listening: socket.socket) -> None:
    """Answer until Ctrl-C (KeyboardInterrupt) or SIGTERM (SystemExit)."""
    config = uvicorn.Config(
        app, log_level="error", access_log=False, server_header=False, lifespan="off", ws="none",
        timeout_graceful_shutdown=1, h11_max_incomplete_event_size=MOST_WORDS,
    )  # fmt: skip

    def ended(number: int, frame: FrameType | None) -> None:
        sys.exit(TERMINATED)

    before = signal.signal(signal.SIGTERM, ended)  # uvicorn raises the signal again, once it has closed
    try:
        uvicorn.Server(config).run([listening])
    finally:
        signal.signal(signal.SIGTERM, before)


async def _written(request: Request, job: Job) -> int:
    """The bytes of the body, which go to the job's upload; of one that is too large as many as were read."""
    size = int(length) if (length := request.headers.get("content-length", "")).isdecimal() else 0
    if size > LARGEST:
        return size
    size = 0
    with open(job.upload, "xb") as file:
        async for piece in request.stream():
            size += len(piece)
            if size > LARGEST or job.stopping:
                break
            file.write(piece)
    return size


async def _words(request: Request) -> Any:
    """The body as JSON. ValueError for what is none, or too long."""
    text = b""
    async for piece in request.stream():
        text += piece
        if len(text) > MOST_WORDS:
            raise ValueError(f"more than {MOST_WORDS} bytes of words")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("the words are no JSON") from error


def _wish(given: Any) -> Wish:
    """What a page asked for. ValueError for what cannot be."""
    names = [field.name for field in fields(Wish)]
    if not isinstance(given, dict) or "prompt" not in given or not set(given) <= set(names):
        raise ValueError(f"a wish has a prompt and may have {', '.join(names[1:])}")
    return Wish(**given)


def _refused(status: int, error: str) -> Response:
    return JSONResponse({"error": error}, status)


def _gone() -> Response:
    return _refused(404, "there is no such thing here (any more)")
