"""The token file's committed bytes, written and read with the other torch and numpy of this environment."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

_spec = spec_from_file_location("golden", Path(__file__).parent.parent / "codecs" / "test_golden.py")
assert _spec is not None and _spec.loader is not None
_golden = module_from_spec(_spec)
_spec.loader.exec_module(_golden)
test_golden = _golden.test_golden
