"""Ours against the original `encodec` and `dac` packages. They need another torch than the other tests: `make test-reference`."""

from importlib.util import find_spec

HERE = find_spec("encodec") is not None and find_spec("dac") is not None
collect_ignore_glob = [] if HERE else ["test_*.py"]


def pytest_report_header() -> str | None:
    return None if HERE else "tests/reference is left out: it runs by `make test-reference`"
