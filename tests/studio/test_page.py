import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from solfa.audio.io import Audio, read
from solfa.codecs.quantizers import QuantizerConfig
from solfa.codecs.token_file import read_tokens
from solfa.codecs.vqvae import VQVAE, VQVAEConfig
from solfa.nn.frames import FrameConfig
from solfa.studio.codec_demo import CodecDemo, as_heard, codec_demo, steps
from solfa.studio.codec_section import codec_sections
from solfa.studio.page import Section, page
from solfa.studio.player import SOUND_BUDGET, player_section

VOID = {"meta", "img", "br", "link", "input"}


class Reader(HTMLParser):
    """Collects tags and addresses, and insists that every tag is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[tuple[str, str]] = []
        self.tags: list[str] = []
        self.scripts: list[str] = []
        self.attributes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.addresses += [(tag, value or "") for name, value in attrs if name in ("src", "href", "action", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)


def parsed(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def tiny(channels: int = 1, codebooks: int = 4) -> VQVAE:
    torch.manual_seed(0)
    quantizer = QuantizerConfig(codebooks=codebooks, codebook_size=16, kmeans_iters=0)
    frames = FrameConfig(20, 12, 2, 2, 3, 4)
    return VQVAE(VQVAEConfig("tiny", 8_000, channels, 8, frames, quantizer=quantizer, chunk=50), "ab" * 32).eval()


def noise(channels: int, samples: int, rate: int) -> Audio:
    return Audio(0.3 * torch.randn(1, channels, samples, generator=torch.Generator().manual_seed(1)).clamp(-3, 3), rate)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> CodecDemo:
    return codec_demo(
        tiny(), noise(2, 33_075, 22_050), '<script>alert("x")</script>&.wav', tmp_path_factory.mktemp("demo")
    )


@pytest.fixture(scope="module")
def text(made: CodecDemo) -> str:
    return page(made.source, "a {{lede}} & more", codec_sections(made), "foot")


def test_renditions_are_what_the_codec_decodes(made: CodecDemo) -> None:
    codec = tiny()
    assert [r.codebooks for r in made.renditions] == [4, 2, 1]
    assert [r.bitrate for r in made.renditions] == [6400, 3200, 1600]
    codes = read_tokens(made.tokens_path)
    np.testing.assert_array_equal(codes.tokens[0], made.tokens)
    for rendition in made.renditions:
        expected = codec.decode(codes, rendition.codebooks).samples
        assert torch.equal(rendition.audio.samples, expected)
        assert expected.shape == made.original.samples.shape == (1, 1, 12_000)
        assert torch.allclose(read(rendition.path).samples, expected.clamp(-1, 1), atol=1 / 32_000)


def test_the_page_asks_nobody_for_anything(text: str) -> None:
    found = parsed(text)
    kinds = {address.split(",")[0] for tag, address in found.addresses if tag != "a"}
    assert kinds == {"data:image/png;base64", "data:audio/flac;base64"}
    assert not re.search(
        r"(?i)https?:|//[a-z]|@import|url\(|fetch\(|XMLHttp|import\(", re.sub(r"base64,[^\"]*", "", text)
    )
    assert "default-src 'none'" in text
    links = [address for tag, address in found.addresses if tag == "a"]
    assert links == ["tokens.solfa", "original.wav", "codebooks-4.wav", "codebooks-2.wav", "codebooks-1.wav"]


def test_names_from_outside_stay_text(text: str) -> None:
    found = parsed(text)
    assert found.tags.count("script") == 2  # the tokens, and the page's own
    assert not [name for name in found.attributes if name.startswith("on")]
    assert "&lt;script&gt;alert" in text and "a {{lede}} &amp; more" in text


def test_the_sounds_on_the_page_are_the_files(made: CodecDemo, text: str) -> None:
    sounds = re.findall(r'src="data:audio/flac;base64,([^"]*)"', text)
    assert len(sounds) == 4
    for data, audio in zip(sounds, [made.original, *(r.audio for r in made.renditions)], strict=True):
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(data)), always_2d=True)
        assert rate == 8_000
        np.testing.assert_allclose(samples.T, audio.samples[0].clamp(-1, 1), atol=1 / 32_000)


def test_the_tokens_on_the_page_are_the_codes(made: CodecDemo, text: str) -> None:
    facts = json.loads(parsed(text).scripts[0])
    assert facts["codes"] == made.tokens.tolist() and facts["rate"] == 400


def test_every_figure_stands_in_the_table(made: CodecDemo, text: str) -> None:
    rows = re.findall(r"<tr><td>(.*?)</td></tr>", text)
    assert len(rows) == 3
    for row, r in zip(rows, made.renditions, strict=True):
        cells = row.split("</td><td>")
        assert cells[0] == str(r.codebooks) and cells[1] == f"{r.bitrate / 1000:.3g}"
        assert cells[3:] == [f"{r.scores.si_sdr:.1f}", f"{r.scores.log_mel:.3f}", f"{r.scores.stft:.3f}"]


def test_a_long_noisy_stereo_recording_still_fits_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("solfa.studio.player.SOUND_BUDGET", SOUND_BUDGET // 40)
    demo = codec_demo(tiny(channels=2), noise(1, 8_000 * 3, 8_000), "noise.wav", tmp_path)
    text = player_section(demo).html()
    sounds = re.findall(r'src="data:audio/flac;base64,([^"]*)"', text)
    assert SOUND_BUDGET // 80 < sum(len(base64.b64decode(sound)) for sound in sounds) <= SOUND_BUDGET // 40
    seconds = float(re.search(r'data-length="([\d.]+)"', text)[1])  # type: ignore[index]
    assert 0.5 < seconds < 2.5 and f"first {seconds:.1f} s" in text
    assert len(json.loads(parsed(text).scripts[0])["codes"][0]) == -(-round(seconds * 8_000) // 20)


@pytest.mark.parametrize("samples", [1, 19, 100])
def test_a_recording_of_a_few_samples_makes_a_page(tmp_path: Path, samples: int) -> None:
    demo = codec_demo(tiny(codebooks=1), noise(1, samples, 8_000), "short.wav", tmp_path)
    assert parsed(page("short", "", codec_sections(demo))).tags.count("audio") == 2


def test_silence_makes_a_page(tmp_path: Path) -> None:
    demo = codec_demo(tiny(), Audio(torch.zeros(1, 1, 4_000), 8_000), "silence.wav", tmp_path)
    assert parsed(page("silence", "", codec_sections(demo))).tags.count("audio") == 4


def test_steps_end_at_all_codebooks() -> None:
    assert steps(8) == [1, 2, 4, 8] and steps(1) == [1] and steps(9) == [1, 2, 4, 8, 9] and steps(3) == [1, 2, 3]


def test_channels_are_fitted_or_refused() -> None:
    assert as_heard(noise(1, 100, 8_000), tiny(channels=2)).samples.shape == (1, 2, 100)
    assert as_heard(noise(5, 100, 16_000), tiny()).samples.shape == (1, 1, 50)
    with pytest.raises(ValueError, match="3 channels: tiny takes 1 or 2"):
        as_heard(noise(3, 100, 8_000), tiny(channels=2))


def test_sections_of_others_stand_beside_ours() -> None:
    text = page("t", "l", [Section("A & B", "<p>body</p>", "note <b>bold</b>"), Section("", "<p>{{title}}</p>")])
    assert "<h2>A &amp; B</h2>" in text and "<p>{{title}}</p>" in text
