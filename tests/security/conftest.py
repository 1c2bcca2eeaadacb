"""Watching the memory, and files that run code when they are unpickled."""

import tracemalloc
from contextlib import contextmanager
from pathlib import Path

import pytest


@pytest.fixture
def peak_memory():
    """A block that may not allocate more than so many bytes at once, in Python and numpy."""

    @contextmanager
    def watch(limit):
        tracemalloc.start()
        try:
            yield
            assert tracemalloc.get_traced_memory()[1] < limit
        finally:
            tracemalloc.stop()

    return watch


class _Touch:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def trap(tmp_path):
    """An object that runs code when it is unpickled, and the file by which one sees that."""
    return _Touch(tmp_path / "it-ran"), tmp_path / "it-ran"
