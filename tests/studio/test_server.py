import asyncio
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import soundfile
import torch

pytest.importorskip("starlette", reason="starlette is not installed: pip install 'solfa[studio]'")
pytest.importorskip("httpx2", reason="starlette's TestClient needs httpx2")

from starlette.requests import Request
from starlette.testclient import TestClient

from solfa.audio.io import Audio, read
from solfa.codecs.codec import Codec
from solfa.codecs.registry import load_codec
from solfa.codecs.token_file import read_tokens, write_tokens
from solfa.lm.sampling import SamplingOptions
from solfa.music.text_to_music import TextToMusic
from solfa.score.midi import read_midi
from solfa.score.write import write_notes
from solfa.studio import server as module
from solfa.studio import works as works_module
from solfa.studio.codec_demo import as_heard
from solfa.studio.desk import WAITING, Desk, Job, Result
from solfa.studio.server import Server
from solfa.studio.works import Works
from solfa.transcriber import Transcriber

HERE = "http://127.0.0.1:8000"
PROMPT = "lively waltz for solo piano, 140 bpm"
ENDED = ("done", "failed", "stopped")


class Studio:
    """A studio with tiny models, and what its page would do."""

    def __init__(self, works: Works, folder: Path) -> None:
        self.works, self.folder = works, folder
        self.desk = Desk(folder, lambda error: " ".join(str(error).split()))
        self.client = TestClient(Server(works, self.desk, "foot").app(8000), base_url=HERE)

    def ended(self, job: dict[str, Any]) -> dict[str, Any]:
        """How a job ended; the desk's thread says so itself, by the end of a later one."""
        found = self.desk.find(job["id"])
        assert found is not None
        with self.desk._changed:
            assert self.desk._changed.wait_for(lambda: found.state in ENDED, 60)
        return self.client.get(f"/jobs/{job['id']}").json()

    def send(self, kind: str, path: Path, name: str | None = None) -> dict[str, Any]:
        answer = self.client.post(f"/jobs/{kind}?name={quote(name or path.name)}", content=path.read_bytes())
        assert answer.status_code == 202, answer.text
        return self.ended(answer.json())

    def write(self, **wish: Any) -> dict[str, Any]:
        answer = self.client.post("/jobs/music", json=wish)
        assert answer.status_code == 202, answer.text
        return self.ended(answer.json())

    def page(self, job: dict[str, Any]) -> str:
        return self.client.get(f"/jobs/{job['id']}/page").text

    def file(self, job: dict[str, Any], name: str, folder: Path) -> Path:
        answer = self.client.get(f"/results/{job['id']}/{name}")
        assert answer.status_code == 200
        path = folder / name
        path.write_bytes(answer.content)
        return path


@pytest.fixture(scope="module")
def models(tiny_music: Callable[..., tuple[Path, Path]], tiny_notes: Callable[..., tuple[Path, Path]]) -> Works:
    place, lm = tiny_music()
    codec = load_codec(place)
    return Works(codec, TextToMusic.load(lm, codec=codec), Transcriber.load(tiny_notes(events=False)[1], codec=codec))


@pytest.fixture
def studio(models: Works, tmp_path: Path) -> Iterator[Studio]:
    (tmp_path / "studio").mkdir()
    made = Studio(models, tmp_path / "studio")
    yield made
    made.desk.close()


@pytest.fixture
def take(tmp_path: Path) -> Path:
    path = tmp_path / "take.flac"
    soundfile.write(path, 0.2 * np.random.default_rng(0).standard_normal((22_051, 2)), 22_050)
    return path


def same_sound(path: Path, expected: Audio, folder: Path) -> bool:
    expected.save(folder / "expected.wav")
    return path.read_bytes() == (folder / "expected.wav").read_bytes()


def test_a_recording_gives_the_librarys_codes_and_sounds(studio: Studio, take: Path, tmp_path: Path) -> None:
    codec = studio.works.codec
    job = studio.send("recording", take)
    assert job["state"] == "done" and job["name"] == "take.flac"
    codes = read_tokens(studio.file(job, "tokens.solfa", tmp_path))
    assert codes == codec.encode_file(take)
    for codebooks in (1, 2, 4):
        path = studio.file(job, f"codebooks-{codebooks}.wav", tmp_path)
        assert same_sound(path, codec.decode(codes, codebooks), tmp_path)
    assert same_sound(studio.file(job, "original.wav", tmp_path), as_heard(read(take), codec), tmp_path)
    text = studio.page(job)
    assert "<h2>take.flac</h2>" in text and "0:01.0 of sound in 204 tokens of tiny, 0.8 kbps." in text
    sounds = re.findall(r'<audio [^>]*src="([^"]*)"', text)
    assert sounds == [
        f"/results/{job['id']}/{name}.wav" for name in ("original", "codebooks-4", "codebooks-2", "codebooks-1")
    ]
    assert all(studio.client.get(sound, headers={"range": "bytes=0-3"}).content == b"RIFF" for sound in sounds)
    assert len(re.findall(r'alt="Spectrogram', text)) == 4 and 'alt="Token matrix, 4 by 51"' in text


def test_a_token_file_is_played(studio: Studio, take: Path, tmp_path: Path) -> None:
    codec = studio.works.codec
    codes = codec.encode_file(take, 3)
    write_tokens(tmp_path / "a.solfa", codes)
    job = studio.send("recording", tmp_path / "a.solfa", "odd name.bin")
    assert job["state"] == "done", job
    for codebooks in (1, 2, 3):
        path = studio.file(job, f"codebooks-{codebooks}.wav", tmp_path)
        assert same_sound(path, codec.decode(codes, codebooks), tmp_path)
    assert read_tokens(studio.file(job, "tokens.solfa", tmp_path)) == codes
    assert "Original" not in studio.page(job) and "SI-SDR" not in studio.page(job)


def test_a_prompt_gives_the_tokens_of_the_library(studio: Studio, tmp_path: Path) -> None:
    assert isinstance(studio.works.writer, TextToMusic)
    writer, guided = studio.works.writer, SamplingOptions(guidance=2.0)
    job = studio.write(prompt=PROMPT, duration=0.7, seed=5, guidance=2)
    assert job["state"] == "done"
    codes = writer.codes(PROMPT, 0.7, 5, options=guided)
    write_tokens(tmp_path / "expected.solfa", codes, metadata={"prompt": PROMPT, "seed": "5"})
    assert studio.file(job, "tokens.solfa", tmp_path).read_bytes() == (tmp_path / "expected.solfa").read_bytes()
    sound = studio.file(job, "codebooks-3.wav", tmp_path)
    assert same_sound(sound, writer.generate(PROMPT, 0.7, 5, options=guided), tmp_path)
    other = studio.write(prompt=PROMPT, duration=0.7, seed=6, guidance=2)
    assert read_tokens(studio.file(other, "tokens.solfa", tmp_path)) != codes


def test_two_channels_of_a_codec_of_one_have_sound_alone(
    tiny_music: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    place, lm = tiny_music(stereo=True)
    codec = load_codec(place)
    writer = TextToMusic.load(lm, codec=codec)
    studio = Studio(Works(codec, writer, ""), tmp_path)
    try:
        job = studio.write(prompt=PROMPT, duration=0.5)
        assert same_sound(studio.file(job, "music.wav", tmp_path), writer.generate(PROMPT, 0.5), tmp_path)
        assert "there is no token file of them" in studio.page(job)
    finally:
        studio.desk.close()


def test_notes_are_those_of_the_library(studio: Studio, take: Path, tmp_path: Path) -> None:
    listener = studio.works.listener
    assert isinstance(listener, Transcriber)
    found = listener(take)
    assert len(found)
    write_notes(found.played, tmp_path / "expected.musicxml", found=found.quantised())
    codes = listener.codec.encode_file(take)
    write_tokens(tmp_path / "take.solfa", codes)
    recording = studio.send("recording", take)
    jobs = [studio.send("notes", take), studio.send("notes", tmp_path / "take.solfa")]
    jobs.append(studio.ended(studio.client.post(f"/jobs/notes?of={recording['id']}").json()))
    for job in jobs:
        assert job["state"] == "done", job
        assert (
            studio.file(job, "notes.musicxml", tmp_path).read_bytes() == (tmp_path / "expected.musicxml").read_bytes()
        )
        assert len(read_midi(studio.file(job, "notes.mid", tmp_path)).notes) == len(found)
        assert 'alt="Piano roll"' in studio.page(job) and f"{len(found)} notes" in studio.page(job)
    music = studio.write(prompt=PROMPT, duration=1)
    heard = studio.ended(studio.client.post(f"/jobs/notes?of={music['id']}").json())
    expected = listener(read_tokens(studio.file(music, "tokens.solfa", tmp_path)))
    assert f": {len(expected)} notes" in studio.page(heard) and f"Notes of {PROMPT}" in studio.page(heard)


def test_notes_of_codes_of_another_codec_are_heard_in_the_sound(models: Works, take: Path, tmp_path: Path) -> None:
    assert isinstance(models.listener, Transcriber)
    torch.manual_seed(1)
    from solfa.codecs.vqvae import VQVAE

    other = VQVAE(models.codec.config, "ab" * 32).eval()  # type: ignore[attr-defined]
    studio = Studio(Works(other, "", models.listener), tmp_path)
    try:
        recording = studio.send("recording", take)
        job = studio.ended(studio.client.post(f"/jobs/notes?of={recording['id']}").json())
        assert f": {len(models.listener(take))} notes" in studio.page(job)
        refused = studio.write(prompt=PROMPT)
        assert refused["error"] == "the studio was started without a model for it"
        assert 'data-tab="music"' not in studio.client.get("/").text
    finally:
        studio.desk.close()


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1", "127.0.0.1:8001", "", "127.0.0.1:8000.evil.example"]
)
def test_other_names_of_the_machine_are_refused(studio: Studio, host: str) -> None:
    for method, path in (("GET", "/"), ("POST", "/jobs/music")):
        assert studio.client.request(method, path, headers={"host": host}, json={"prompt": "a"}).status_code == 403
    assert studio.client.get("/", headers={"host": "localhost:8000"}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:8000", "http://127.0.0.1:8001", "http://127.0.0.1"]
)
def test_other_sites_are_refused(studio: Studio, origin: str) -> None:
    for method, path in (("POST", "/jobs/music"), ("POST", "/jobs/recording"), ("DELETE", "/jobs/x"), ("GET", "/")):
        assert studio.client.request(method, path, headers={"origin": origin}, json={"prompt": "a"}).status_code == 403
    assert not list(studio.folder.iterdir())
    assert (
        studio.client.post("/jobs/music", headers={"origin": HERE}, json={"prompt": "a", "duration": 0.1}).status_code
        == 202
    )


def test_every_answer_forbids_what_is_from_outside(studio: Studio) -> None:
    for answer in (studio.client.get("/"), studio.client.get("/none"), studio.client.get("/", headers={"host": "a"})):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ") and "frame-ancestors 'none'" in policy and "http" not in policy
        assert "'unsafe-inline'" not in policy.partition("script-src")[2]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers


def test_the_page_names_no_outside_address(studio: Studio) -> None:
    import base64
    import hashlib

    text = studio.client.get("/").text
    assert not re.search(r"(?i)https?:|(?<![:])//[a-z]|@import|url\(|import\(|<link|<iframe| on[a-z]+=", text)
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(script) == 1
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in text  # or the browser would not run it


def test_names_from_outside_stay_text_and_are_no_paths(studio: Studio, take: Path) -> None:
    name = '../../<script>alert("x")</script>\n.wav'
    job = studio.send("recording", take, name)
    assert job["state"] == "done" and "<script>alert" not in studio.page(job) and "&lt;script&gt;" in studio.page(job)
    assert {path.name for path in studio.folder.iterdir()} == {job["id"]}
    for wrong in ("upload", "..%2f..%2fetc%2fpasswd", "%2e%2e", "none.wav"):
        assert studio.client.get(f"/results/{job['id']}/{wrong}").status_code == 404
    assert studio.client.get("/results/none/tokens.solfa").status_code == 404


def test_what_is_too_large_is_refused(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 1000)
    said = studio.client.post("/jobs/recording?name=a.wav", content=b"x" * 1001)
    streamed = studio.client.post("/jobs/notes?name=a.wav", content=iter([b"x" * 600, b"x" * 600]))  # no length said
    for answer in (said, streamed):
        assert answer.status_code == 413 and answer.json()["error"].startswith("a.wav: more than ")
    assert not list(studio.folder.iterdir())
    assert studio.client.post("/jobs/music", content=b"x" * (module.MOST_WORDS + 1)).status_code == 400


def test_no_more_is_read_of_what_is_too_large(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 1000)
    sent = []

    async def receive() -> dict[str, Any]:
        sent.append(600)
        return {"type": "http.request", "body": b"x" * 600, "more_body": len(sent) < 100}

    job = studio.desk.open("a.wav")
    request = Request({"type": "http", "method": "POST", "headers": []}, receive)  # type: ignore[arg-type]
    assert asyncio.run(module._written(request, job)) == 1200 and len(sent) == 2
    assert job.upload.stat().st_size <= 1000


def test_what_is_no_sound_or_damaged_is_said_in_one_line(studio: Studio, take: Path, tmp_path: Path) -> None:
    wrong = {"empty.wav": b"", "text.wav": b"hello\n" * 50, "cut.flac": take.read_bytes()[:4000]}
    write_tokens(tmp_path / "a.solfa", studio.works.codec.encode_file(take))
    whole = (tmp_path / "a.solfa").read_bytes()
    wrong |= {"cut.solfa": whole[:-20], "bad.solfa": whole[:-20] + bytes(20)}
    for name, data in wrong.items():
        (tmp_path / name).write_bytes(data)
        for kind in ("recording", "notes"):
            job = studio.send(kind, tmp_path / name)
            assert job["state"] == "failed" and job["error"].startswith(f"{name}: "), job
            assert "\n" not in job["error"] and str(studio.folder) not in job["error"]
    assert not list(studio.folder.iterdir())


def test_codes_of_another_codec_are_refused(studio: Studio, take: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    codes = studio.works.codec.encode_file(take)
    write_tokens(tmp_path / "a.solfa", replace(codes, weights_hash="cd" * 32))
    job = studio.send("recording", tmp_path / "a.solfa")
    assert job["error"].startswith("made by the codec tiny (cdcdcdcdcdcd): here is tiny (")
    write_tokens(tmp_path / "b.solfa", replace(codes, hop=80, samples=(4000,)))
    assert "hop" in studio.send("recording", tmp_path / "b.solfa")["error"]


def test_long_recordings_are_taken_from_their_beginning(
    studio: Studio, take: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec: Codec = studio.works.codec
    monkeypatch.setattr(works_module, "SCORED", 0.25)
    assert "over its first 0.25 s." in studio.page(studio.send("recording", take))
    monkeypatch.setattr(works_module, "LONGEST", 0.5)
    job = studio.send("recording", take)
    assert job["said"][0] == "1 s long: the first 0.5 s are taken"
    assert read_tokens(studio.file(job, "tokens.solfa", tmp_path)) == codec.encode(read(take, duration=0.5))
    write_tokens(tmp_path / "a.solfa", codec.encode_file(take))
    job = studio.send("recording", tmp_path / "a.solfa")
    tokens = read_tokens(studio.file(job, "tokens.solfa", tmp_path)).tokens
    assert torch.equal(tokens, codec.encode_file(take).tokens[:, :, :25])
    monkeypatch.setattr(works_module, "MOST_SAMPLES", 20_000)
    assert "2 channels at 22050 Hz have" in studio.send("recording", take)["error"]


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"prompt": PROMPT, "duration": 601}, "duration is 601"),
        ({"prompt": PROMPT, "duration": "1"}, "duration is '1'"),
        ({"prompt": PROMPT, "duration": 0}, "duration is 0"),
        ({"prompt": PROMPT, "seed": -1}, "seed is -1"),
        ({"prompt": PROMPT, "seed": 1.5}, "seed is 1.5"),
        ({"prompt": PROMPT, "guidance": 101}, "guidance is 101"),
        ({"prompt": 1}, "prompt is 1"),
        ({"duration": 1}, "a wish has a prompt"),
        ({"prompt": PROMPT, "folder": "/"}, "a wish has a prompt"),
        ([], "a wish has a prompt"),
    ],
)
def test_wishes_that_cannot_be_are_refused(studio: Studio, wish: Any, said: str) -> None:
    answer = studio.client.post("/jobs/music", json=wish)
    assert answer.status_code == 400 and answer.json()["error"].startswith(said)
    assert studio.client.post("/jobs/music", content=b"{").json()["error"] == "the words are no JSON"
    empty = studio.write(prompt=" ")
    assert empty["state"] == "failed" and "say in words what to play" in empty["error"]


def test_two_jobs_wait_for_each_other_and_can_be_stopped(studio: Studio) -> None:
    """The first is as long as may be: a minute of writing, if nobody stopped it."""
    first = studio.client.post("/jobs/music", json={"prompt": PROMPT, "duration": 600}).json()
    second = studio.client.post("/jobs/music", json={"prompt": PROMPT, "duration": 600}).json()
    third = studio.client.post("/jobs/music", json={"prompt": PROMPT, "duration": 0.2}).json()
    assert third["state"] == "waiting" and third["ahead"] == 2 and second["ahead"] == 1
    for job in (second, first):
        assert studio.client.delete(f"/jobs/{job['id']}").status_code == 200
    assert [studio.ended(job)["state"] for job in (first, second, third)] == ["stopped", "stopped", "done"]
    assert studio.client.get(f"/jobs/{first['id']}/page").status_code == 404
    assert {path.name for path in studio.folder.iterdir()} == {third["id"]}


def test_a_full_queue_says_so(studio: Studio) -> None:
    jobs: list[Job] = [studio.desk.open(str(number)) for number in range(WAITING)]
    for path, body in (("/jobs/music", json.dumps({"prompt": "a"})), ("/jobs/recording", "x"), ("/jobs/notes", "x")):
        answer = studio.client.post(path, content=body)
        assert answer.status_code == 429 and f"{WAITING} jobs wait already" in answer.json()["error"]
    assert len(list(studio.folder.iterdir())) == len(jobs)


def test_notes_of_what_was_dropped(studio: Studio) -> None:
    assert (
        studio.client.post("/jobs/notes?of=none").json()["error"] == "that result is not kept any more: make it again"
    )
    job = studio.desk.open("gone")

    def made(job: Job) -> Result:
        return Result("", (), None, job.folder / "none.wav")

    studio.desk.put(job, made)
    studio.ended({"id": job.id})
    heard = studio.ended(studio.client.post(f"/jobs/notes?of={job.id}").json())
    assert heard["state"] == "failed" and "\n" not in heard["error"]
