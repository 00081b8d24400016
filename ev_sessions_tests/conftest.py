"""Fixtures that all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ev_sessions_tests.pipeline import Pipeline, own_environment, pipeline_over, sandbox_with


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """No test sees the settings of the shell that it runs in, and none leaves any behind."""
    with own_environment():
        yield


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    """A small fleet as it should be, and a pipeline that reads it."""
    with pipeline_over(sandbox_with(), tmp_path) as over:
        yield over
