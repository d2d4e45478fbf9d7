"""Transcribers with random weights, small enough to be made for every test."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from solfa.transcription.model import TokenTranscriber, TranscriberConfig
from solfa.transcription.vocabulary import solfa_events

MakeTranscriber = Callable[..., TokenTranscriber]
TINY = {
    "name": "tiny-notes",
    "codec": "tiny",
    "sample_rate": 8000,
    "frame_rate": 50.0,
    "codebooks": 4,
    "codebook_size": 16,
    "width": 16,
    "heads": 2,
    "encoder_layers": 3,
    "conv_layers": 1,
    "kernel": 3,
    "channels": 4,
    "pitch_layers": 2,
    "segment_frames": 50,
    "lowest": 48,
    "highest": 72,
    "lowest_drum": 35,
    "highest_drum": 46,
}


@pytest.fixture(scope="session")
def make_transcriber() -> MakeTranscriber:
    """make_transcriber(events=True, **fields): 8 kHz, 50 frames a second, 4 codebooks of 16; 25 pitches, 12 drums; sharp outputs.

    events: whether it has a decoder, of two layers that write `solfa_events`. fields: others of its TranscriberConfig.
    """

    def make(events: bool = True, **fields: Any) -> TokenTranscriber:
        writing = {"decoder_layers": 2, "vocabulary": solfa_events()} if events else {}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = TokenTranscriber(TranscriberConfig(**(TINY | writing | fields))).eval()
            with torch.no_grad():
                for weight in model.parameters():
                    if weight.ndim > 1:
                        weight *= 2  # so that what is heard matters
                if model.decoder is not None:
                    model.decoder.clues.weights.weight.normal_(0.0, 0.01)  # of a new one they are 0
        return model

    return make
