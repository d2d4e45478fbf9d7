"""The C kernels, compiled on this machine when first needed and kept in the user's cache.

Where that cannot be (no C compiler, no folder to write to, SOLFA_KERNELS=off) everything runs in torch, slower, and one warning says so.
Another machine, compiler or version of the sources gives another file: the name is a hash of all of them.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import sys
import warnings
from pathlib import Path

from solfa.files import WholeFile

FOLDER = Path(__file__).parent
# Sums may be made of fused multiply-adds; nothing that changes what infinities and NaN do. Threads are the caller's business.
FLAGS = ("-O3", "-march=native", "-fopenmp-simd", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math")
WIDE = "-mprefer-vector-width=512"  # for x86 alone
FLOATS, COUNT, FLOAT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
STRUCT = COUNTS = ctypes.c_void_p
SIGNATURES = {
    "solfa_snake": (FLOATS, FLOATS, FLOATS, FLOATS, COUNT, COUNT),
    "solfa_elu": (FLOATS, FLOATS, COUNT),
    "solfa_fourier": (FLOATS, FLOATS, COUNT, COUNT, COUNT, COUNT),
    "solfa_fourier_back": (FLOATS, FLOATS, FLOATS, COUNT, COUNT, COUNT, COUNT),
    "solfa_lstm": (FLOATS, FLOATS, FLOATS, FLOATS, FLOATS, COUNT, COUNT),
    "solfa_products": (
        *(FLOATS, COUNT, COUNT, COUNT, FLOATS, FLOATS),
        *(FLOATS, COUNT, COUNT, COUNT, COUNT, FLOATS, COUNT, COUNT, FLOATS, COUNT),
    ),
    "solfa_column": (FLOATS, COUNT, COUNT, FLOATS, FLOAT, FLOATS, COUNT, COUNT, COUNT, COUNT),
    "solfa_linear": (COUNT, STRUCT, FLOATS, COUNT, COUNT, FLOATS, FLOATS, COUNTS, COUNT, COUNT),
    "solfa_decode": (
        *(STRUCT, STRUCT, COUNT, COUNT, FLOATS, FLOATS, FLOATS, FLOATS, COUNT, COUNT),
        *(COUNTS, COUNT, COUNT),
    ),
    "solfa_linear_team": (STRUCT,),
    "solfa_decode_team": (STRUCT,),
    "solfa_remember": (STRUCT, STRUCT, COUNT, FLOATS, COUNT),
}


class KernelError(Exception):
    """Why there are no kernels."""


@functools.cache
def library() -> ctypes.CDLL | None:
    """The kernels, or None where there are none; then it has been said once."""
    if os.environ.get("SOLFA_KERNELS", "").lower() in ("off", "0", "no"):
        return None  # as asked for: nothing to say
    try:
        return load(cached())
    except (KernelError, OSError, subprocess.SubprocessError) as error:
        warnings.warn(
            f"no compiled kernels ({error}): codecs run in plain torch, at about half the speed, language models at less",
            stacklevel=2,
        )
        return None


def load(path: Path) -> ctypes.CDLL:
    """The library in a file, with the types of its functions."""
    kernels = ctypes.CDLL(str(path))
    for name, types in SIGNATURES.items():
        function = getattr(kernels, name)
        function.argtypes, function.restype = types, None
    return kernels


def cached() -> Path:
    """The compiled file, compiled now if it is not there. Raises KernelError or OSError where it cannot be had."""
    if sys.platform == "win32":
        raise KernelError("they are not made for Windows")
    compiler = _compiler()
    folder = cache_folder()
    path = folder / f"{_fingerprint(compiler)}.so"
    if not path.exists():
        compile_kernels(compiler, path)
    _check_private(path)
    return path


def cache_folder() -> Path:
    """A folder of the user's that nobody else can write to: what lies in it is run."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "solfa" / "kernels"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_private(folder)
    return folder


def compile_kernels(compiler: str, path: Path) -> None:
    """Compile the sources to a shared library; it appears whole or not at all. Raises KernelError with what the compiler said."""
    sources = [str(source) for source in sorted(FOLDER.glob("*.c"))]
    said = ""
    with WholeFile(path) as temporary:
        for flags in ((*FLAGS, WIDE), FLAGS):
            command = [compiler, *flags, "-shared", "-fPIC", "-o", str(temporary), *sources, "-lm"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
            if done.returncode == 0:
                os.chmod(temporary, 0o600)
                return
            said = (done.stderr.strip().splitlines() or ["no message"])[0]
        raise KernelError(f"{compiler} failed: {said}")


def _compiler() -> str:
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        found = name and shutil.which(name)
        if found:
            return found
    raise KernelError("no C compiler was found")


def _fingerprint(compiler: str) -> str:
    """A hash of the sources, the flags, the compiler and the processor, whose instructions the code is made of."""
    digest = hashlib.sha256(repr((FLAGS, WIDE, platform.machine(), platform.processor(), _processor())).encode())
    version = subprocess.run([compiler, "--version"], capture_output=True, timeout=30, check=False).stdout
    digest.update(compiler.encode() + version)
    for source in sorted((*FOLDER.glob("*.c"), *FOLDER.glob("*.h"))):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()[:32]


def _processor() -> str:
    """The instructions that this processor has, where the system tells: a home folder may be shared by many machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.node()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.node())


def _check_private(path: Path) -> None:
    about = path.stat()
    if about.st_uid != os.geteuid() or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise KernelError(f"{path} belongs to, or can be written by, somebody else")
