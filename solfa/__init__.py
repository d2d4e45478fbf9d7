"""Sound as symbols: audio codecs, the tokens that they write, and what can be done with them.

The names below are imported when they are first used, so that `import solfa` costs nothing and loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from solfa.audio.io import Audio as Audio
    from solfa.audio.io import read as read
    from solfa.audio.io import write as write
    from solfa.codecs.codec import Codec as Codec
    from solfa.codecs.codec import Codes as Codes
    from solfa.codecs.registry import list_codecs as list_codecs
    from solfa.codecs.registry import load_codec as load_codec
    from solfa.lm.registry import list_lms as list_lms
    from solfa.lm.registry import load_lm as load_lm
    from solfa.lm.sampling import SamplingOptions as SamplingOptions
    from solfa.music.text_to_music import TextToMusic as TextToMusic
    from solfa.score.midi import read_midi as read_midi
    from solfa.score.midi import write_midi as write_midi
    from solfa.score.note import Note as Note
    from solfa.score.score import Score as Score
    from solfa.score.write import read_notes as read_notes
    from solfa.score.write import write_notes as write_notes
    from solfa.tokenize_audio.store.batches import CropSampler as CropSampler
    from solfa.tokenize_audio.store.batches import EpochSampler as EpochSampler
    from solfa.tokenize_audio.store.batches import StoreDataset as StoreDataset
    from solfa.tokenize_audio.store.store import TokenStore as TokenStore
    from solfa.transcriber import Transcriber as Transcriber
    from solfa.transcription.registry import load_transcriber as load_transcriber

_HOMES = {
    "Audio": "solfa.audio.io",
    "read": "solfa.audio.io",
    "write": "solfa.audio.io",
    "Codec": "solfa.codecs.codec",
    "Codes": "solfa.codecs.codec",
    "list_codecs": "solfa.codecs.registry",
    "load_codec": "solfa.codecs.registry",
    "list_lms": "solfa.lm.registry",
    "load_lm": "solfa.lm.registry",
    "SamplingOptions": "solfa.lm.sampling",
    "TextToMusic": "solfa.music.text_to_music",
    "Transcriber": "solfa.transcriber",
    "load_transcriber": "solfa.transcription.registry",
    "CropSampler": "solfa.tokenize_audio.store.batches",
    "EpochSampler": "solfa.tokenize_audio.store.batches",
    "StoreDataset": "solfa.tokenize_audio.store.batches",
    "TokenStore": "solfa.tokenize_audio.store.store",
    "Note": "solfa.score.note",
    "Score": "solfa.score.score",
    "read_midi": "solfa.score.midi",
    "write_midi": "solfa.score.midi",
    "read_notes": "solfa.score.write",
    "write_notes": "solfa.score.write",
}


__all__ = list(_HOMES)  # found by `__getattr__`


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'solfa' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
