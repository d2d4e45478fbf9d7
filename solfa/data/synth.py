"""Training data from a seed: composed scores (or other sound, or speech), rendered into a folder with captions and notes."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from solfa import __version__
from solfa.data.backends import choose_backend
from solfa.data.collection import Done, Made, Summary, build
from solfa.data.composer.attributes import TEXTURES, Attributes, Voice, sample_attributes
from solfa.data.composer.caption import caption, further_captions
from solfa.data.composer.compose import compose
from solfa.data.composer.describe import observed
from solfa.data.composer.instruments import KITS, suited
from solfa.data.domain import EVERYTHING, Domain, textures_of
from solfa.data.drills import drill
from solfa.data.effects import RenderOptions, apply_effects, draw_effects
from solfa.data.manifest import Entry
from solfa.data.programs import Presets, nearest, parse_presets, restrict
from solfa.data.render import Renderer, play_rate
from solfa.data.soundfont import find_soundfont
from solfa.data.sounds.sound import make_sound
from solfa.data.sounds.speech import choose_engines, make_speech
from solfa.score.score import Score

KINDS = ("scores", "drills", "sounds", "speech")
_CHOICES = ("domain", "balanced", "accompaniment", "steady", "captions")
LENGTHS = {"scores": (4.0, 120.0), "drills": (4.0, 120.0), "sounds": (0.5, 120.0), "speech": (0.5, 120.0)}  # seconds that can be asked for


@dataclass(frozen=True)
class Settings:
    """What a folder's bytes depend on, beside how many items there are.

    kind: "scores", "drills", "sounds" or "speech". seconds: range of an item's length. soundfonts: paths, one is drawn for an item;
    none takes the system's. renderer: "auto", "fluidsynth" or "tinysoundfont". programs, exclude: what may sound, see `parse_presets`.
    valid, test: shares (0 to 1) of the items that go into these splits; the rest is "train". options: see `RenderOptions`.
    Of scores alone: domain, what is composed. balanced: every program that can play a tune leads equally often. accompaniment: the
    programs for all parts but the lead (which it is not, where there is a choice). steady: no rubato. captions: how many
    an item has; those after the first lie in the manifest as the list `captions`.
    """

    seed: int = 0
    kind: str = "scores"
    seconds: tuple[float, float] = (10.0, 60.0)
    sample_rate: int = 24000
    channels: int = 1
    soundfonts: tuple[str, ...] = ()
    renderer: str = "auto"
    programs: str | None = None
    exclude: str | None = None
    valid: float = 0.0
    test: float = 0.0
    options: RenderOptions = field(default_factory=RenderOptions)
    domain: Domain = EVERYTHING
    balanced: bool = False
    accompaniment: str | None = None
    steady: bool = False
    captions: int = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r}: legal are {', '.join(KINDS)}")
        low, high = LENGTHS[self.kind]
        if not low <= self.seconds[0] <= self.seconds[1] <= high:
            raise ValueError(f"seconds {self.seconds}: a range within {low:g} to {high:g}")
        if min(self.valid, self.test) < 0 or self.valid + self.test > 1:
            raise ValueError(f"valid {self.valid} and test {self.test}: shares from 0, at most 1 together")
        if not 8000 <= self.sample_rate <= 96000 or self.channels not in (1, 2):
            raise ValueError(f"sample rate {self.sample_rate}, channels {self.channels}: 8000 to 96000 Hz, 1 or 2")
        if not 1 <= self.captions <= 100:
            raise ValueError(f"captions {self.captions}: 1 to 100")
        self.accompanying(parse_presets(self.programs, self.exclude))

    @property
    def presets(self) -> Presets:
        return parse_presets(self.programs, self.exclude)

    def accompanying(self, presets: Presets) -> Presets:
        """Those of `presets` that may accompany. Raises ValueError where that leaves none."""
        if self.accompaniment is None:
            return presets
        left = presets.programs & parse_presets(self.accompaniment).programs
        if not left:
            raise ValueError(f"accompaniment {self.accompaniment!r}: none of it is among the programs that may sound")
        return replace(presets, programs=left)

    def split(self, key: object) -> str:
        """Where an item goes: by a draw of its own, so it stays there however many items there are."""
        place = random.Random(f"{self.seed}/split/{key}").random()
        return "test" if place < self.test else "valid" if place < self.test + self.valid else "train"

    def resolved(self) -> Settings:
        """With soundfonts and renderer found on this system. Raises what `find_soundfont` and `choose_backend` raise."""
        fonts = tuple(str(find_soundfont(path).path) for path in self.soundfonts or (None,))
        for font in fonts:
            presets = self.presets.within(find_soundfont(font))
            self.accompanying(presets)
            if self.kind == "scores":
                draw_attributes(self, presets, random.Random(0))  # raises where nothing can be drawn
            elif self.kind == "drills":
                drill(random.Random(0), 4.0, presets)
        return replace(self, soundfonts=fonts, renderer=choose_backend(self.renderer))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with the soundfonts by name and hash: where they lie does not matter."""
        data = asdict(self)
        data["soundfonts"] = [[font.name, font.sha256] for font in map(find_soundfont, self.soundfonts)]
        data["seconds"] = list(self.seconds)
        for choice in fields(self):
            if choice.name in _CHOICES and getattr(self, choice.name) == choice.default:
                del data[choice.name]  # folders that were made before there was such a choice stay valid
        if "domain" in data:
            data["domain"] = {name: list(values) for name, values in data["domain"].items() if values}
        data["options"] = {k: list(v) if isinstance(v, tuple) else v for k, v in data["options"].items()}
        return {"solfa": __version__, **data, "play_rate": play_rate(self.sample_rate)}


def synthesize(
    out: str | os.PathLike[str],
    items: int,
    seed: int = 0,
    jobs: int = 1,
    settings: Settings | None = None,
    *,
    overwrite: bool = False,
    on_item: Callable[[Done[int]], None] = lambda done: None,
) -> Summary:
    """Writes `items` recordings with captions, notes and manifest into the folder `out`; `seed` replaces that of the settings.

    The same seed and settings give the same bytes for any `jobs`, and item i is the same however many there are. A killed run
    goes on where it was. Raises ValueError for settings that cannot be, ImportError where a synthesizer is missing.
    """
    if items < 1:
        raise ValueError(f"items {items}: at least 1")
    settings = replace(settings or Settings(), seed=seed)
    make: Callable[[int], Made]
    if settings.kind == "scores":
        settings = settings.resolved()
        make = ComposedItem(settings)
    elif settings.kind == "drills":
        settings = settings.resolved()
        make = DrillItem(settings)
    elif settings.kind == "speech":
        make = SpeechItem(settings, choose_engines())
    else:
        make = SoundItem(settings)
    names = settings.to_dict() | ({"engines": list(make.engines)} if isinstance(make, SpeechItem) else {})
    return build(Path(out), range(items), item_id, make, names, jobs=jobs, overwrite=overwrite, on_item=on_item)


def item_id(index: int) -> str:
    return f"{index:06d}"


@dataclass(frozen=True)
class ComposedItem:
    """Item `index` of composed scores."""

    settings: Settings

    def __call__(self, index: int) -> Made:
        settings = self.settings
        rng = random.Random(f"{settings.seed}/scores/{index}")
        renderer = draw_renderer(settings, rng)
        presets = settings.presets.within(renderer.soundfont)
        attributes = draw_attributes(settings, presets, rng)
        score = restrict(compose(attributes, settings.steady), presets, rng)
        # Density and register are requests to the composer: what it made of them is what the caption and the attributes say.
        facts = observed(attributes, score)
        # One tempo from the first note, on a downbeat at 0, to the last: models that are told a beat learn from such pieces.
        told = facts | {"steady": True} if len(score.tempi) == 1 else facts
        made = rendered(settings, item_id(index), str(index), score, renderer, rng, caption(told, rng), told)
        if settings.captions == 1:
            return made
        # A stream of their own: however many there are, the rest of the item stays as it is.
        more = further_captions(told, settings.captions - 1, random.Random(f"{settings.seed}/captions/{index}"))
        return replace(made, entry=replace(made.entry, extra=made.entry.extra | {"captions": more}))


@dataclass(frozen=True)
class DrillItem:
    """Item `index` of drills: notes to hear, not to listen to."""

    settings: Settings

    def __call__(self, index: int) -> Made:
        settings = self.settings
        rng = random.Random(f"{settings.seed}/drills/{index}")
        renderer = draw_renderer(settings, rng)
        presets = settings.presets.within(renderer.soundfont)
        score = drill(rng, rng.uniform(*settings.seconds), presets)
        return rendered(settings, item_id(index), str(index), score, renderer, rng, "", {})


def draw_renderer(settings: Settings, rng: random.Random) -> Renderer:
    """A renderer with one of the soundfonts; each is loaded once a process."""
    return load_renderer(rng.choice(settings.soundfonts), settings.sample_rate, settings.channels, settings.renderer)


@lru_cache(maxsize=8)
def load_renderer(soundfont: str, sample_rate: int, channels: int, backend: str) -> Renderer:
    return Renderer(soundfont, sample_rate, channels, backend)


def draw_attributes(settings: Settings, presets: Presets, rng: random.Random) -> Attributes:
    """Attributes of a length in the range, of the settings' domain, on presets that may sound. Pieces for drums alone need a kit.

    Raises ValueError where there can be none.
    """
    kits = sorted(presets.kits & set(KITS))
    lead = draw_lead(settings, presets, rng) if settings.balanced else None
    if settings.domain or lead is not None:
        textures = _playable(presets, kits) if lead is None else textures_of(lead)
        drawn = settings.domain.draw(rng, round(rng.uniform(*settings.seconds), 1), textures)
    else:
        while True:
            drawn = sample_attributes(rng, seconds=round(rng.uniform(*settings.seconds), 1))
            if drawn.texture in _playable(presets, kits):
                break
    voices: list[Voice] = []
    for index, voice in enumerate(drawn.instruments):
        if index == 0:
            program = _suited(voice, presets, rng) if lead is None else lead
        else:
            program = _suited(voice, _others(settings, presets, voices[0].program), rng)
        voices.append(Voice(voice.role, program))
    drums = drawn.drums and bool(kits)
    return replace(drawn, instruments=tuple(voices), drums=drums, kit=nearest(drawn.kit, kits, rng) if drums else 0)


def draw_lead(settings: Settings, presets: Presets, rng: random.Random) -> int:
    """A program for the melody, each as likely as any other that has a texture in the domain."""
    able = sorted(presets.programs & set(suited("melody")))
    able = [program for program in able if any(settings.domain.rows(textures_of(program)))]
    if not able:
        raise ValueError(f"none of the programs that may sound can lead, with {settings.domain}")
    return rng.choice(able)


def _playable(presets: Presets, kits: Sequence[int]) -> tuple[str, ...]:
    """The textures for which there is something to play them."""
    return tuple(name for name in TEXTURES if (kits if name == "percussion" else presets.programs))


def _others(settings: Settings, presets: Presets, lead: int) -> Presets:
    """What may accompany a lead."""
    if settings.accompaniment is None:
        return presets
    chosen = settings.accompanying(presets)
    return replace(chosen, programs=chosen.programs - {lead} or chosen.programs)


def _suited(voice: Voice, presets: Presets, rng: random.Random) -> int:
    """Its program, else one that plays the same role, else any that may sound."""
    good = sorted(presets.programs & set(suited(voice.role)))
    if voice.program in presets.programs:
        return voice.program
    return nearest(voice.program, good or sorted(presets.programs), rng)


def rendered(
    settings: Settings,
    identity: str,
    key: str,
    score: Score,
    renderer: Renderer,
    rng: random.Random,
    text: str,
    attributes: dict[str, Any],
) -> Made:
    """A score as an item: its sound, and an entry that says how it was made."""
    samples, effects = renderer.render_with(score, rng.getrandbits(63), settings.options)
    entry = Entry(
        id=identity,
        audio=f"audio/{identity}.flac",
        text=text,
        attributes=attributes,
        notes=f"notes/{identity}.mid",
        split=settings.split(key),
        seconds=samples.shape[1] / settings.sample_rate,
        soundfont=renderer.soundfont.name,
        renderer=renderer.backend,
        extra={"soundfont_sha256": renderer.soundfont.sha256, "effects": effects.to_dict()},
    )
    return Made(entry, samples, settings.sample_rate, score)


@dataclass(frozen=True)
class SoundItem:
    """Item `index` of noise, tones, percussion, synthesizer lines, and mixtures of these."""

    settings: Settings

    def __call__(self, index: int) -> Made:
        rng = random.Random(f"{self.settings.seed}/sounds/{index}")
        sound = make_sound(rng, rng.uniform(*self.settings.seconds), self.settings.sample_rate, self.settings.channels)
        return _with_effects(self.settings, index, sound.samples, sound.text, sound.attributes, rng)


@dataclass(frozen=True)
class SpeechItem:
    """Item `index` of synthetic speech."""

    settings: Settings
    engines: Sequence[str]

    def __call__(self, index: int) -> Made:
        rng = random.Random(f"{self.settings.seed}/speech/{index}")
        settings = self.settings
        seconds = rng.uniform(*settings.seconds)
        sound = make_speech(rng, seconds, settings.sample_rate, settings.channels, self.engines)
        return _with_effects(settings, index, sound.samples, sound.text, sound.attributes, rng)


def _with_effects(
    settings: Settings, index: int, samples: Any, text: str, attributes: dict[str, Any], rng: random.Random
) -> Made:
    # Detuning is the synthesizer's: sounds of no score are drawn at any pitch anyway.
    effects = draw_effects(rng, replace(settings.options, detune=(0.0, 0.0)))
    samples = apply_effects(samples, settings.sample_rate, effects)
    entry = Entry(
        id=item_id(index),
        audio=f"audio/{item_id(index)}.flac",
        text=text,
        attributes=attributes,
        split=settings.split(index),
        seconds=samples.shape[1] / settings.sample_rate,
        renderer="solfa",
        extra={"effects": effects.to_dict()},
    )
    return Made(entry, samples, settings.sample_rate)
