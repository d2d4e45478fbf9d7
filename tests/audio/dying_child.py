"""A decoder that its file kills, after a first block."""

import os
import signal
import sys

import numpy as np

from solfa.audio.apart import say, send

pipe = int(sys.argv[1])
say(pipe, b"O", rate=8000, channels=1, format="MP4", subtype="AAC")
send(pipe, b"B", memoryview(np.zeros(100, np.float32)).cast("B"))
os.kill(os.getpid(), signal.SIGSEGV)
