"""Pretrained weights, and the licences that a run accepts."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from morphpipe.config.base import Model

# Subfolders of a repository are allowed, parent folders are not.
WeightsFile = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$")
]


class Weights(Model):
    """Pretrained weights, downloaded by a rule of their own."""

    source: str = Field(
        pattern=r"^(hf://[^/]+/[^/]+|https?://.+|file:.+)$",
        description="Source of the files: `hf://<organisation>/<repository>` (Hugging Face "
        "hub), `https://<folder>` or `file:<folder>`, relative to the working directory.",
    )
    revision: str | None = Field(
        None, description="Commit of the Hugging Face repository; null: the latest."
    )
    files: list[WeightsFile] = Field(min_length=1, description="Files to download.")
    sha256: dict[str, str] = Field(
        default_factory=dict,
        description="Expected checksum of each file. If it is missing, the checksum of the first "
        "download is recorded in `paths.lock` and required from then on.",
    )
    licence: str = Field(description="Licence; must be in `licences.accept`.")
    note: str | None = Field(
        None, description="Shown in the report, for example how the weights were trained."
    )

    @property
    def folder(self) -> Path | None:
        """Folder of a `file:` source; None for other sources."""
        if not self.source.startswith("file:"):
            return None
        return Path(self.source.removeprefix("file:").removeprefix("//"))

    @property
    def changeable_files(self) -> list[str]:
        """Existing local files without a declared checksum."""
        if self.folder is None:
            return []
        free = [self.folder / file for file in self.files if file not in self.sha256]
        return [str(path) for path in free if path.is_file()]


class Licences(Model):
    """Licences of data and weights that you have read and accept."""

    accept: list[str] = Field(
        default_factory=list,
        description="For example `CC BY-NC-SA 4.0` (RxRx1). A run that needs any other licence "
        "stops and names it.",
    )
