"""Ours against the original `encodec` and `dac` packages. They need another torch than the other tests: `make test-reference`."""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import pytest

HERE = find_spec("encodec") is not None and find_spec("dac") is not None
collect_ignore_glob = [] if HERE else ["test_*.py"]


def pytest_report_header() -> str | None:
    return None if HERE else "tests/reference is left out: it runs by `make test-reference`"


@pytest.fixture(scope="session")
def same() -> Callable[[Mapping[str, Any], Mapping[str, Any]], None]:
    """Holds that two models have the same tensors under the same names."""

    def check(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
        assert found.keys() == expected.keys()
        assert all(found[name].equal(tensor) for name, tensor in expected.items())

    return check
