"""Pretrained weights and the licences of what a run uses."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from morphpipe.config.base import Model

# Folders of a repository may be named, none above it.
WeightsFile = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$")
]


class Weights(Model):
    """Pretrained weights, declared once and fetched by a rule of their own."""

    source: str = Field(
        pattern=r"^(hf://[^/]+/[^/]+|https?://.+|file:.+)$",
        description="Where the files come from: `hf://<organisation>/<repository>` (Hugging Face "
        "hub), `https://<folder>` or `file:<folder>`, relative to the working directory.",
    )
    revision: str | None = Field(
        None, description="Commit of the hub's repository; none means the newest."
    )
    files: list[WeightsFile] = Field(min_length=1, description="The files to fetch.")
    sha256: dict[str, str] = Field(
        default_factory=dict,
        description="Expected checksum of each file. Where none is given, the one seen at the "
        "first download is recorded in `paths.lock` and demanded from then on.",
    )
    licence: str = Field(description="Licence; must be in `licences.accept`.")
    note: str | None = Field(
        None, description="Shown in the report: how the weights were made, for instance."
    )

    @property
    def folder(self) -> Path | None:
        """The folder of a `file:` source; none of others."""
        if not self.source.startswith("file:"):
            return None
        return Path(self.source.removeprefix("file:").removeprefix("//"))

    @property
    def changeable_files(self) -> list[str]:
        """Files on one's own disk that no declared checksum fixes, as far as they are there."""
        if self.folder is None:
            return []
        free = [self.folder / file for file in self.files if file not in self.sha256]
        return [str(path) for path in free if path.is_file()]


class Licences(Model):
    """Licences of data and weights that the person who runs this has read and accepts."""

    accept: list[str] = Field(
        default_factory=list,
        description="For instance `CC BY-NC-SA 4.0` (RxRx1). A run that needs another licence "
        "stops and says which.",
    )
