"""Listening to the recordings of `solfa eval generation`: each once, the reference beside one or two systems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solfa.cli import eval_music, load, report
from solfa.cli.inputs import AUDIO_SUFFIXES, expand
from solfa.cli.jobs import run_jobs
from solfa.progress import Bar

if TYPE_CHECKING:
    from solfa.data.manifest import Entry
    from solfa.eval.evaluation import Evaluation
    from solfa.eval.music import Analyser
    from solfa.tokenize_audio.adherence import Clip, Heard, Pair


def entries_of(folder: Path) -> dict[str, Entry]:
    """A folder's recordings by id: those of its manifest, or its files by their names."""
    from solfa.data.manifest import NAME, Entry, read_manifest

    path = folder / NAME
    if path.is_file():
        return {entry.id: entry for entry in read_manifest(path)}
    if not folder.is_dir():
        raise report.UsageError(f"{folder}: no such folder")
    found = [each for each in expand([str(folder)], AUDIO_SUFFIXES) if each.problem is None]
    if not found:
        raise report.UsageError(f"{folder}: no folder with a {NAME}, or with sound")
    entries: dict[str, Entry] = {}
    for each in found:
        name = each.relative.with_suffix("").as_posix()
        if name in entries:
            raise ValueError(f"{folder}: {each.relative} and {entries[name].audio} have one name")
        entries[name] = Entry(name, each.relative.as_posix())
    return entries


@dataclass(frozen=True)
class Look:
    """Measures one recording, in a process of its own: see `hear`."""

    codec: str | None
    device: str
    codebooks: int | None = None
    embeddings: tuple[str, ...] = ()

    def __call__(self, clip: Clip) -> Heard:
        from solfa.tokenize_audio.adherence import hear

        codec = None if self.codec is None else load.codec(self.codec, self.device)
        return hear(clip.path, codec, self.codebooks, self.embeddings)


@dataclass(frozen=True)
class Following:
    """The chroma cosine of a generated recording with the one whose melody it was given, in a process of its own."""

    def __call__(self, pair: tuple[Clip, Clip]) -> dict[str, float]:
        from solfa.tokenize_audio.adherence import melody_value

        return melody_value(pair[0].path, pair[1].path)


@dataclass(frozen=True)
class System:
    """A folder of generated recordings. true: the reference of each; None where sets without common names are compared. real: all
    references, each once."""

    folder: Path
    made: Sequence[Clip]
    true: Sequence[Clip] | None
    real: Sequence[Clip]


@dataclass
class Hearing:
    """Everything that is listened to, against one reference, and the names of what could not be heard. codec, codebooks, clap, melody,
    prompts: as the command has them. analyser: once `fit` was called."""

    reference: Path
    true: Mapping[str, Entry]
    codec: str | None
    codebooks: int | None
    clap: str | None
    melody: bool
    prompts: Path | None
    device: str
    jobs: int
    failed: list[str]
    analyser: Analyser | None = None
    fitted_on: int = 0
    _known: dict[tuple[Look, Clip], Heard | None] = field(default_factory=dict)

    def match(self, folder: Path) -> System:
        """A folder's recordings with their references. Raises ValueError where some have none."""
        from solfa.data.manifest import NAME
        from solfa.tokenize_audio.adherence import clip_of, match_clips, reference_of

        entries = entries_of(folder)
        strangers = not any(reference_of(entry) in self.true for entry in entries.values())
        if strangers and not (folder / NAME).is_file():
            report.say(f"{folder}: no file has the name of one of {self.reference}: compared as sets")
            made = [clip_of(folder, entry) for entry in entries.values()]
            real = [clip_of(self.reference, entry) for entry in self.true.values()]
            return System(folder, self._asked(made, list(entries), list(entries)), None, real)
        pairs = match_clips(self.true, entries, self.reference, folder)
        true, made = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        made = self._asked(made, [clip.name for clip in true], list(self.true))
        return System(folder, made, true, list(dict.fromkeys(true)))

    def _asked(self, made: Sequence[Clip], names: Sequence[str], ids: Sequence[str]) -> list[Clip]:
        """The generated recordings with the user's prompts, where there are any: that of a clip is under its name."""
        if self.prompts is None:
            return list(made)
        texts = eval_music.prompts_of(self.prompts, ids, set(names))
        return [replace(clip, text=texts[name]) for clip, name in zip(made, names, strict=True)]

    def fit(self, folder: Path, count: int) -> None:
        """Fits the analysers on the first recordings of a folder, as they are, and as the codec plays them."""
        from solfa.eval.music import fit_analyser
        from solfa.tokenize_audio.adherence import clip_of

        clips = [clip_of(folder, entry) for entry in list(entries_of(folder).values())[:count]]
        looks = [Look(None, self.device), *([self._through] if self.codebooks is not None else [])]
        heard = [pair for look in looks for pair in zip(self.listen(clips, look, "fit"), clips, strict=True)]
        known = [(each.traces, clip.wanted) for each, clip in heard if each is not None]
        with Bar("fit", None):
            self.analyser, self.fitted_on = fit_analyser(known), len(known)

    @property
    def _through(self) -> Look:
        """As the codec plays it: as a perfect model would sound."""
        return Look(self.codec, self.device, self.codebooks)

    def listen(self, clips: Sequence[Clip], look: Look, label: str) -> list[Heard | None]:
        """What is measured of each recording; None, and a line that says why, where one cannot be read."""
        new = [clip for clip in dict.fromkeys(clips) if (look, clip) not in self._known]
        with Bar(label, len(new)) as bar:
            for outcome in run_jobs(look, new, jobs=self.jobs):
                self._known[look, outcome.item] = outcome.result
                if outcome.error is not None:
                    self._fail(outcome.item, outcome.error)
                bar.advance(1, detail=outcome.item.path.name)
        return [self._known[look, clip] for clip in clips]

    def _fail(self, clip: Clip, error: str) -> None:
        self.failed.append(str(clip.path))
        report.fail(str(clip.path), error)

    def evaluate(self, system: System, settings: Mapping[str, Any], tables: Mapping[str, Any]) -> Evaluation:
        """What is found of one system. Raises ValueError for fewer than two recordings that can be read."""
        from solfa.tokenize_audio.generation_evaluation import Truth, evaluate, measures_of

        clap = () if self.clap is None else (f"clap:{self.clap}",)
        look = Look(self.codec, self.device, embeddings=("log-mel", *clap))
        real = [heard for heard in self.listen(system.real, look, "reference") if heard is not None]
        coded = []
        if self.codebooks is not None and system.true is not None:
            played = self.listen(system.real, self._through, "coded")
            coded = [(c.wanted, h.traces) for c, h in zip(system.real, played, strict=True) if h is not None]
        pairs = self._pairs(system, look)
        if len(pairs) < 2 or len(real) < 2:
            raise ValueError(
                f"{system.folder}: {len(pairs)} generated recordings that can be read, with their references: at least two"
            )
        measures = measures_of(self.analyser is not None, self.clap is not None, self.melody)
        settings = {**settings, "generated": str(system.folder)}
        failed, self.failed = self.failed, []  # each failure belongs to the system in which it came up
        found = evaluate(pairs, Truth(real, self.analyser, coded), measures, settings, failed, tables)
        for line in found.failed[len(failed) :]:
            report.say(line)
        return found

    def _pairs(self, system: System, look: Look) -> list[Pair]:
        """The recordings that can be heard, with what else is measured of them."""
        from solfa.tokenize_audio.adherence import Pair

        true: Sequence[Clip | None] = system.true or [None] * len(system.made)
        truly = self.listen(system.true, look, "reference") if system.true else [None] * len(true)
        heard = self.listen(system.made, look, "generated")
        pairs = [
            Pair(made, found, clip, truth)
            for made, found, clip, truth in zip(system.made, heard, true, truly, strict=True)
            if found is not None and (clip is None or truth is not None)
        ]
        scores, cosines = self._clap_scores(pairs), self._chroma_cosines(pairs)
        return [replace(pair, values=scores.get(pair.made, {}) | cosines.get(pair.made, {})) for pair in pairs]

    def _clap_scores(self, pairs: Sequence[Pair]) -> dict[Clip, dict[str, float]]:
        """Of the sounds that were asked for in words."""
        from solfa.tokenize_audio.adherence import clap_value

        if self.clap is None:
            return {}
        found = {}
        for pair in pairs:
            try:
                found[pair.made] = clap_value(pair.made_heard, pair.made.text, self.clap)
            except ValueError as error:
                self._fail(pair.made, str(error))
        return found

    def _chroma_cosines(self, pairs: Sequence[Pair]) -> dict[Clip, dict[str, float]]:
        """Of the sounds that have a reference."""
        if not self.melody:
            return {}
        both = [(pair.true, pair.made) for pair in pairs if pair.true is not None]
        found = {}
        with Bar("melody", len(both)) as bar:
            for outcome in run_jobs(Following(), both, jobs=self.jobs):
                made = outcome.item[1]
                if outcome.error is None:
                    found[made] = outcome.result
                else:
                    self._fail(made, outcome.error)
                bar.advance(1, detail=made.path.name)
        return found
