"""Generated recordings beside true ones of the same prompts: are they what was asked for, and how near is their sound?

The measures are those of `solfa.eval` and the listeners those of `solfa.eval.music`; here recordings are read, played through a codec
where one is named, and what was heard is put together as one `Evaluation`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from solfa.audio.io import Audio, read
from solfa.data.manifest import Entry
from solfa.eval import clap, melody
from solfa.eval.embeddings import clap_text, embedding, load_clap
from solfa.eval.music import Facts, Traces, facts_of, traces
from solfa.eval.music_sound import Floats
from solfa.score.write import read_notes

if TYPE_CHECKING:
    from solfa.codecs.codec import Codec

LATENTS = "latents"


@dataclass(frozen=True)
class Clip:
    """A recording, and what was asked for: in words, and as facts."""

    name: str
    path: Path
    text: str
    wanted: Facts


@dataclass(frozen=True)
class Heard:
    """What is measured of a recording. embeddings: by name, rows [N, D]."""

    traces: Traces
    embeddings: Mapping[str, Floats]


@dataclass(frozen=True)
class Pair:
    """A generated recording and the true one of its prompt, both heard; no true one where two sets are compared that share no names.

    values: what else was measured of it, by measure.
    """

    made: Clip
    made_heard: Heard
    true: Clip | None = None
    true_heard: Heard | None = None
    values: Mapping[str, float] = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        """What the generated recording is a take of: its reference's name; its own where there is none."""
        return self.made.name if self.true is None else self.true.name


def clip_of(folder: Path, entry: Entry) -> Clip:
    """Raises ValueError, naming the entry, for attributes or notes that cannot be read."""
    try:
        notes = read_notes(folder / entry.notes).notes if isinstance(entry.notes, str) else entry.notes
        wanted = facts_of(entry.attributes, notes)
    except (ValueError, OSError) as error:
        raise ValueError(f"{entry.id}: its notes: {error}") from error
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(f"{entry.id}: attributes that are not as solfa synth writes them") from error
    return Clip(entry.id, folder / entry.audio, entry.text.strip(), wanted)


def match_clips(
    true: Mapping[str, Entry], made: Mapping[str, Entry], true_folder: Path, made_folder: Path
) -> list[tuple[Clip, Clip]]:
    """For each generated recording its reference, and itself, with the words and facts that it was asked for.

    The reference is that of its id, or of the field `reference` of its entry. What the entry of a generated recording does not say is
    taken from the reference's. Raises ValueError where there is none.
    """
    names = {identity: reference_of(entry) for identity, entry in made.items()}
    missing = [f"{identity} ({name})" for identity, name in names.items() if name not in true]
    if missing:
        raise ValueError(f"{made_folder}: no reference in {true_folder} for {', '.join(missing[:5])}")
    known = {name: clip_of(true_folder, true[name]) for name in dict.fromkeys(names.values())}
    pairs = []
    for identity, entry in made.items():
        reference, clip = known[names[identity]], clip_of(made_folder, entry)
        # The reference may come with its notes, too.
        same = entry.attributes in ({}, true[names[identity]].attributes) and entry.notes is None
        wanted = reference.wanted if same else clip.wanted
        pairs.append((reference, replace(clip, text=clip.text or reference.text, wanted=wanted)))
    return pairs


def reference_of(entry: Entry) -> str:
    """The id of a generated recording's reference."""
    return str(entry.extra.get("reference", entry.id))


def hear(
    path: Path, codec: Codec | None = None, codebooks: int | None = None, embeddings: Sequence[str] = ("log-mel",)
) -> Heard:
    """Measure a recording: as it is, with the latents of a codec, or (`codebooks`) as the codec plays it from so many of its codebooks."""
    audio, rows = read(path), {}
    if codec is not None and codebooks is not None:
        audio = codec.decode(codec.encode(audio, codebooks=codebooks))
    samples = audio.samples.numpy()[0]
    for name in embeddings:
        rows[name] = embedding(name).rows(samples, audio.sample_rate)
    if codec is not None and codebooks is None:
        rows[LATENTS] = _latents(codec, audio)
    return Heard(traces(samples, audio.sample_rate), rows)


def clap_value(heard: Heard, text: str, name: str) -> dict[str, float]:
    """The CLAP score of a recording that was heard by that CLAP; none without a text. Raises ValueError for one that is too long."""
    if not text:
        return {}
    vector = clap_text(load_clap(name), text)
    sound = heard.embeddings[f"clap:{name}"].mean(0)  # the length of a vector does not matter
    return {clap.MEASURES[0].name: float(clap.clap_score(vector[None], sound[None])[0])}


def melody_value(given: Path, made: Path) -> dict[str, float]:
    """The chroma cosine of a generated recording with the one whose melody it was given."""
    a, b = read(given), read(made)
    value = melody.chroma_cosine(a.samples.numpy()[0], b.samples.numpy()[0], a.sample_rate, b.sample_rate)
    return {melody.MEASURES[0].name: value}


def _latents(codec: Any, audio: Audio) -> Floats:
    """The mean over each second of the latents that the codec decodes from: [N, D]."""
    codes = codec.encode(audio)
    with torch.inference_mode():
        latents = codec.quantizer.decode(codes.tokens.to(codec.device))[0].double().cpu().numpy()  # [D, T]
    second = max(1, round(codes.frame_rate))
    starts = range(0, max(1, latents.shape[1] - second + 1), second)
    return np.stack([latents[:, start : start + second].mean(1) for start in starts])
