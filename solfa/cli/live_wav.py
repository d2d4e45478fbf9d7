"""A WAV that can be played while it is written: its length is known, so its header comes first and is never changed."""

import struct
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import numpy as np

LARGEST = (1 << 32) - 64  # bytes of samples that the header can count


class LiveWav:
    """16-bit samples, clipped to [-1, 1], that go out as they come. ValueError for more than a WAV can hold, NaN and infinity."""

    def __init__(self, file: BinaryIO, sample_rate: int, channels: int, samples: int) -> None:
        size, frame = samples * channels * 2, channels * 2
        if size > LARGEST:
            raise ValueError("longer than a WAV can hold (4 GiB)")
        self._file = file
        shape = struct.pack("<HHIIHH", 1, channels, sample_rate, sample_rate * frame, frame, 16)
        file.write(struct.pack("<4sI4s4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16) + shape)
        file.write(struct.pack("<4sI", b"data", size))
        file.flush()

    def write(self, samples: "np.ndarray") -> None:
        """The next samples [C, n]."""
        import numpy as np

        from solfa.audio.io import quantised

        if not np.isfinite(samples).all():
            raise ValueError("samples are NaN or infinite")
        self._file.write(np.ascontiguousarray(quantised(samples, 16).T).astype("<i2").tobytes())
        self._file.flush()
