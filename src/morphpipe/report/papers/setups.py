"""Settings of the papers' runs, from `<paper>/setup.yaml`."""

from collections.abc import Mapping
from importlib import resources
from typing import Any

import yaml
from pydantic import Field

from morphpipe.config.base import Model

_FOLDER = resources.files("morphpipe.report.papers")


class Setup(Model):
    """Settings of a published run; None if the paper does not give them.

    Attributes
    ----------
    source, project
        Source of the dataset in this project's terms, and the project of a gallery's.
    network, autoencoder, starting_weights
        Preset, and where weights come from.
    steps, steps_place
        Training steps, and where it says so.
    per_condition, per_condition_place
        Generated images per condition, and where it says so.
    repetitions
        Seeds; 1 where the paper mentions none.
    real_images
        How its real images were chosen, as a sentence that starts with "the paper".
    """

    source: str = ""
    project: str | None = None
    network: str | None = None
    autoencoder: str | None = None
    starting_weights: str | None = None
    steps: int | None = None
    steps_place: str = ""
    per_condition: int | None = None
    per_condition_place: str = ""
    repetitions: int = 1
    real_images: str = ""


class Quoted(Model):
    """Facts about a paper for the limitations in the report.

    Attributes
    ----------
    images_place
        Where it says how many images it compares per condition.
    steps, steps_place
        Training steps, and where it says so.
    datasets
        Sources of the data that it was shown on.
    guidance
        Whether its sampling was guided, in words.
    """

    images_place: str
    steps: int
    steps_place: str
    datasets: list[str]
    guidance: str


class Paper(Model):
    """A paper.

    Attributes
    ----------
    name, baseline
        The names of its model and of its baseline.
    run
        What its runs have in common.
    roles
        Its runs, by role (`morphpipe.config.papers`).
    quoted
        What the report's caveats say of it.
    encoders
        Kind of the encoder behind each kind of number.
    control
        Its label of the negative control.
    stains
        The channel behind each of its names of organelles.
    scales
        What a printed value is multiplied with to be in plain units, by column.
    """

    name: str
    baseline: str = ""
    run: Setup
    roles: dict[str, Setup]
    quoted: Quoted
    encoders: dict[str, str]
    control: str = ""
    stains: dict[str, str] = Field(default_factory=dict)
    scales: dict[str, float] = Field(default_factory=dict)


def paper_text(paper: str, file: str) -> str:
    """The text of one of a paper's files."""
    return _FOLDER.joinpath(paper, file).read_text("utf-8")


def paper_data(paper: str, file: str) -> dict[str, Any]:
    """The content of one of a paper's YAML files."""
    # Every job reads them: by libyaml, if it is installed, in a seventh of the time.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(paper_text(paper, file))
    try:
        content: dict[str, Any] = loader.get_single_data()
        return content
    finally:
        loader.dispose()


def _read(paper: str) -> Paper:
    content = paper_data(paper, "setup.yaml")
    roles = {role: content["run"] | own for role, own in content["roles"].items()}
    return Paper.model_validate(content | {"roles": roles})


PAPERS: Mapping[str, Paper] = {
    folder.name: _read(folder.name)
    for folder in sorted(_FOLDER.iterdir(), key=lambda folder: folder.name)
    if folder.joinpath("setup.yaml").is_file()
}
"""By the name of the folder."""
