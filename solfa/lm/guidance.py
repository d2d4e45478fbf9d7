"""The rows of a batch that is guided: what each prompt says, and beside it what is heard where less, or nothing, is said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch

from solfa.lm.conditioners.grid import Grid, grid_of
from solfa.lm.conditioners.sound import Sound
from solfa.lm.model import Conditions
from solfa.lm.sampling import USUAL, SamplingOptions
from solfa.nn.transformer import Memory

Beats = Grid | Sequence[Grid | None] | Literal["prompt"] | None


@torch.no_grad()
def conditions_for(
    model: Any,
    texts: Sequence[str | None],
    options: SamplingOptions = USUAL,
    melody: Sound | None = None,
    beat: Sequence[Grid | None] | None = None,
) -> Conditions:
    """What B texts, all with one melody, each with a beat or None, say to a model, as `Writing` takes it: B rows without guidance, else
    [condition, null], 2 B rows; with text_guidance [text and melody, melody, null], 3 B rows. None is no text.

    A beat goes with its text: rows that do not hear the text have no beat, so guidance sharpens both. A model with a CLAP hears the texts
    through it too. Raises ValueError for what the model does not hear, for another number of beats, and for one text that is in no list.
    """
    if isinstance(texts, str):
        raise ValueError(f"texts is {texts!r}: a list of texts is needed, one a row")
    batch, config = len(texts), model.config
    if options.text_guidance is not None and melody is None:
        raise ValueError(
            f"text_guidance is {options.text_guidance}: it weighs the text against a melody, and there is none"
        )
    hears = config.text is not None or config.clap is not None
    if not hears and any(texts):
        raise ValueError(f"{config.name} reads no text")
    if beat is not None and len(beat) != batch:
        raise ValueError(f"{len(beat)} beats for {batch} texts: one each, or None")
    if not hears and config.melody is None and melody is None and not any(beat or ()):
        return Conditions()
    # All in one call: where a text stands before the first step, its null row must be as long.
    read = [*texts, None, None] if config.text is not None else [None] * (batch + 2)
    more: dict[str, Any] = {}
    if config.melody is not None or melody is not None:
        more["melody"] = [melody] * (batch + 1) + [None]
    if config.clap is not None:
        more["clap"] = [*texts, None, None]
    if beat is not None:
        more["beat"] = [*beat, None, None]
    found = model.describe(read, **more)
    ways = [list(range(batch))]
    if options.text_guidance is not None:
        ways += [[batch] * batch, [batch + 1] * batch]
    elif options.guidance != 1:
        ways += [[batch + 1] * batch]
    return select(found, [row for way in ways for row in way])


def beats_of(config: Any, texts: Sequence[str | None], beat: Beats = "prompt") -> list[Grid | None]:
    """The beat of each text: a grid for all of them, one each, None for none, or "prompt" for what each says, where the model is told it.

    Raises ValueError for another number of grids than texts.
    """
    if isinstance(beat, str):
        if beat != "prompt":
            raise ValueError(f"beat is {beat!r}: a Grid, one for each prompt, None, or 'prompt' for what prompts say")
        return [grid_of(text) if text and config.beat is not None else None for text in texts]
    grids = [beat] * len(texts) if beat is None or isinstance(beat, Grid) else list(beat)
    if len(grids) != len(texts):
        raise ValueError(f"{len(grids)} beats for {len(texts)} prompts: one for all, or one each")
    return grids


def later(grids: Sequence[Grid | None], seconds: float) -> list[Grid | None]:
    """Beats as a window hears them that begins so much later."""
    return [grid and grid.after(seconds) for grid in grids]


def independent(config: Any) -> bool:
    """Whether a text says the same beside longer ones. Where it stands before the first step, or its padding is heard, it does not."""
    return config.fusion != "prepend" and not getattr(config.text, "pad_attended", False)


def select(conditions: Conditions, rows: Sequence[int]) -> Conditions:
    """The conditions of some rows, in this order."""
    memory = conditions.memory
    if memory is not None:
        index = torch.tensor(rows, device=memory.values.device)
        memory = Memory(memory.values[index], None if memory.mask is None else memory.mask[index])
    rest = (conditions.prefix, conditions.added, conditions.always)
    return Conditions(memory, *(x if x is None else x[torch.tensor(rows, device=x.device)] for x in rest))


def ways_of(conditions: Conditions, batch: int, options: SamplingOptions) -> tuple[int, Conditions]:
    """In how many ways each row is heard, and the conditions of those; null rows are left out where they would change nothing.

    Raises ValueError where there are other rows than the options need.
    """
    shapes = [] if conditions.memory is None else [len(conditions.memory.values)]
    beside = (conditions.prefix, conditions.added, conditions.always)
    shapes += [len(each) for each in beside if each is not None]
    if not shapes:
        if options.text_guidance is not None:
            raise ValueError("text_guidance needs a melody beside the text: there are no conditions")
        return 1, conditions
    ways, rest = divmod(shapes[0], batch)
    needed = 3 if options.text_guidance is not None else 1 if options.guidance == 1 else 2
    if len(set(shapes)) != 1 or rest or (ways != needed and (ways, needed) != (2, 1)):
        raise ValueError(f"conditions of {shapes} rows for {batch} seeds: these options need {needed} rows a seed")
    if needed == 1 and ways == 2:
        return 1, select(conditions, range(batch))
    return ways, conditions
