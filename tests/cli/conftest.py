from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_config() -> Path:
    """The configuration of the smallest workflow that runs."""
    return Path(__file__).resolve().parents[1] / "workflow" / "tiny.yaml"
