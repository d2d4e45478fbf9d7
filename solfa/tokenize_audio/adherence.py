"""Generated recordings beside true ones of the same prompts: are they what was asked for, and how near is their sound?

The measures are those of `solfa.eval.generation` and the listeners those of `solfa.eval.music`; here recordings are read, and played
through a codec where one is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from solfa.audio.io import Audio, read
from solfa.data.manifest import Entry
from solfa.eval.generation import Share, adherence, chance, frechet_distance, halves, log_mel_embedding
from solfa.eval.music import Analyser, Facts, Traces, facts_of, traces
from solfa.eval.music_sound import Floats

if TYPE_CHECKING:
    from solfa.codecs.codec import Codec


@dataclass(frozen=True)
class Clip:
    """A recording, and what was asked for."""

    path: Path
    wanted: Facts


@dataclass(frozen=True)
class Heard:
    """What is measured of a recording; latents [N, D], a second each, where a codec was named."""

    traces: Traces
    log_mel: Floats
    latents: Floats | None


@dataclass(frozen=True)
class Pair:
    """A generated recording and the true one of its prompt, both heard."""

    true: Clip
    made: Clip
    true_heard: Heard
    made_heard: Heard


def clip_of(folder: Path, entry: Entry) -> Clip:
    return Clip(folder / entry.audio, facts_of(entry.attributes))


def match_clips(
    true: Mapping[str, Entry], made: Mapping[str, Entry], true_folder: Path, made_folder: Path
) -> tuple[list[Clip], list[Clip]]:
    """For each generated recording its reference, and itself, with the facts that its prompt was written from.

    The reference is that of its id, or of the field `reference` of its entry. Raises ValueError where there is none.
    """
    names = {identity: str(entry.extra.get("reference", identity)) for identity, entry in made.items()}
    missing = [f"{identity} ({name})" for identity, name in names.items() if name not in true]
    if missing:
        raise ValueError(f"{made_folder}: no reference in {true_folder} for {', '.join(missing[:5])}")
    references = [clip_of(true_folder, true[names[identity]]) for identity in made]
    generated = [clip_of(made_folder, entry) for entry in made.values()]
    # A manifest of generated sound need not repeat the attributes.
    bare = [entry.attributes == {} for entry in made.values()]
    return references, [
        replace(clip, wanted=of.wanted) if empty else clip
        for clip, of, empty in zip(generated, references, bare, strict=True)
    ]


def hear(path: Path, codec: Codec | None = None, codebooks: int | None = None) -> Heard:
    """Measure a recording: as it is, with the latents of a codec, or (`codebooks`) as the codec plays it from so many of its codebooks."""
    audio, latents = read(path), None
    if codec is not None and codebooks is not None:
        audio = codec.decode(codec.encode(audio, codebooks=codebooks))
    elif codec is not None:
        latents = _latents(codec, audio)
    samples = audio.samples.numpy()[0]
    return Heard(traces(samples, audio.sample_rate), log_mel_embedding(samples, audio.sample_rate), latents)


def _latents(codec: Any, audio: Audio) -> Floats:
    """The mean over each second of the latents that the codec decodes from: [N, D]."""
    codes = codec.encode(audio)
    with torch.inference_mode():
        latents = codec.quantizer.decode(codes.tokens.to(codec.device))[0].double().cpu().numpy()  # [D, T]
    second = max(1, round(codes.frame_rate))
    starts = range(0, max(1, latents.shape[1] - second + 1), second)
    return np.stack([latents[:, start : start + second].mean(1) for start in starts])


def compare(
    analyser: Analyser, pairs: Sequence[Pair], real: Sequence[Heard], coded: Sequence[tuple[Facts, Traces]] = ()
) -> dict[str, Any]:
    """Shares right of each attribute (columns generated, reference, coded where there is any, and chance), and Fréchet distances.

    real: all true recordings, for the distances. coded: what the references were asked, and their traces through the codec.
    """
    wanted = [pair.made.wanted for pair in pairs]
    heard = [analyser(pair.made_heard.traces) for pair in pairs]
    # The reference's own facts: a generated manifest may ask for others, and then the ceiling is still that of the truth.
    truly = [analyser(pair.true_heard.traces) for pair in pairs]
    columns: dict[str, Mapping[str, Share]] = {
        "generated": adherence(wanted, heard),
        "reference": adherence([pair.true.wanted for pair in pairs], truly),
    }
    if coded:
        columns["coded"] = adherence([asked for asked, _ in coded], [analyser(found) for _, found in coded])
    columns["chance"] = chance(wanted, heard)
    made = [pair.made_heard for pair in pairs]
    distances = {"log-mel": _distances([each.log_mel for each in real], [each.log_mel for each in made])}
    latents = [[each.latents for each in side if each.latents is not None] for side in (real, made)]
    if latents[1]:
        distances["latents"] = _distances(*latents)
    names = columns["generated"]
    table = {name: {column: asdict(row[name]) for column, row in columns.items()} for name in names}
    return {"adherence": table, "frechet": distances, "generated": len(made), "reference": len(real)}


def _distances(real: Sequence[Floats], made: Sequence[Floats]) -> dict[str, float]:
    distance = frechet_distance(np.concatenate(real), np.concatenate(made))
    return {"generated": distance, "halves of the reference": frechet_distance(*halves(real)) if len(real) > 1 else 0.0}
