"""basic-pitch on many files, for bench/transcription.py: run by the Python of an environment that has it, which need not have solfa.

    PYTHON bench/_basic_pitch_rows.py THREADS < paths.json

stdin: a JSON list of sound files. stdout: the version, then for each file its notes [onset, offset, pitch, velocity] and the seconds that
they took, a JSON document a line. The first file is heard once before, so that loading and compiling do not count. THREADS: of
onnxruntime; 0 is its own choice.
"""

import json
import os
import sys
import time
from importlib.metadata import version


def main(threads: int) -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # it prints what it does
    paths = json.load(sys.stdin)
    import onnxruntime
    from basic_pitch import FilenameSuffix, build_icassp_2022_model_path
    from basic_pitch.inference import Model, predict

    path = build_icassp_2022_model_path(FilenameSuffix.onnx)
    model = Model(path)
    if threads:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        model.model = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    print(json.dumps(version("basic-pitch")), file=out, flush=True)
    if paths:
        predict(paths[0], model)
    for path in paths:
        started = time.perf_counter()
        events = predict(path, model)[2]
        seconds = time.perf_counter() - started
        # Velocities as in the MIDI that it writes.
        notes = [[float(on), float(off), int(pitch), round(127 * float(loud))] for on, off, pitch, loud, _ in events]
        print(json.dumps([notes, seconds]), file=out, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
