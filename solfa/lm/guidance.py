"""The rows of a batch that is guided: what each prompt says, and beside it what is heard where less, or nothing, is said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from solfa.lm.conditioners.sound import Sound
from solfa.lm.model import Conditions
from solfa.lm.sampling import USUAL, SamplingOptions
from solfa.nn.transformer import Memory


@torch.no_grad()
def conditions_for(
    model: Any, texts: Sequence[str | None], options: SamplingOptions = USUAL, melody: Sound | None = None
) -> Conditions:
    """What B texts, all with one melody, say to a model, as `Writing` takes it: B rows without guidance, else [condition, null], 2 B rows;
    with text_guidance [text and melody, melody, null], 3 B rows. None is no text.

    A model with a CLAP hears the texts through it too. Raises ValueError for what the model does not hear.
    """
    batch, config = len(texts), model.config
    if options.text_guidance is not None and melody is None:
        raise ValueError(
            f"text_guidance is {options.text_guidance}: it weighs the text against a melody, and there is none"
        )
    hears = config.text is not None or config.clap is not None
    if not hears and any(texts):
        raise ValueError(f"{config.name} reads no text")
    if not hears and config.melody is None and melody is None:
        return Conditions()
    # All in one call: where a text stands before the first step, its null row must be as long.
    read = [*texts, None, None] if config.text is not None else [None] * (batch + 2)
    more: dict[str, Any] = {}
    if config.melody is not None or melody is not None:
        more["melody"] = [melody] * (batch + 1) + [None]
    if config.clap is not None:
        more["clap"] = [*texts, None, None]
    found = model.describe(read, **more)
    ways = [list(range(batch))]
    if options.text_guidance is not None:
        ways += [[batch] * batch, [batch + 1] * batch]
    elif options.guidance != 1:
        ways += [[batch + 1] * batch]
    return select(found, [row for way in ways for row in way])


def independent(config: Any) -> bool:
    """Whether a text says the same beside longer ones. Where it stands before the first step, or its padding is heard, it does not."""
    return config.fusion != "prepend" and not getattr(config.text, "pad_attended", False)


def select(conditions: Conditions, rows: Sequence[int]) -> Conditions:
    """The conditions of some rows, in this order."""
    memory, prefix = conditions.memory, conditions.prefix
    if memory is not None:
        index = torch.tensor(rows, device=memory.values.device)
        memory = Memory(memory.values[index], None if memory.mask is None else memory.mask[index])
    if prefix is not None:
        prefix = prefix[torch.tensor(rows, device=prefix.device)]
    return Conditions(memory, prefix)


def ways_of(conditions: Conditions, batch: int, options: SamplingOptions) -> tuple[int, Conditions]:
    """In how many ways each row is heard, and the conditions of those; null rows are left out where they would change nothing.

    Raises ValueError where there are other rows than the options need.
    """
    shapes = [] if conditions.memory is None else [len(conditions.memory.values)]
    shapes += [] if conditions.prefix is None else [len(conditions.prefix)]
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
