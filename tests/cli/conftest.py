"""Calling the command line as a user does, in this process."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from morphpipe.cli import main


@dataclass
class Ended:
    code: int
    out: str
    err: str


@pytest.fixture
def morphpipe(monkeypatch, capsys) -> Callable[..., Ended]:
    """Run a verb, as `morphpipe("split", "screen", "--fields", path)`."""

    def run(*arguments) -> Ended:
        monkeypatch.setattr(sys, "argv", ["morphpipe", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Ended(int(ended.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def tiny_config() -> Path:
    """The configuration of the smallest workflow that runs."""
    return Path(__file__).resolve().parents[1] / "workflow" / "tiny.yaml"
