"""Vocabulary of a generator: perturbations and cell types, with their indices."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphpipe.core.errors import DataError


@dataclass(frozen=True)
class Vocabulary:
    """Labels in the order of the embedding tables.

    Attributes
    ----------
    perturbations, cell_types
        Unique labels, sorted. The null class follows at index `len(...)`.
    kinds
        Kind of each perturbation: `sirna`, `compound`, ..., or `none`.
    negative_controls
        The perturbations that are controls.
    batches
        Batches that are trained on, sorted.
    """

    perturbations: tuple[str, ...]
    cell_types: tuple[str, ...]
    kinds: tuple[str, ...]
    negative_controls: tuple[str, ...] = ()
    batches: tuple[str, ...] = ()

    def perturbation_indices(self, labels: Iterable[str]) -> NDArray[np.int64]:
        """Look up indices of perturbations, int64 [n].

        Raises
        ------
        DataError
            If a label is unknown.
        """
        return _indices(labels, self.perturbations, "perturbation")

    def cell_type_indices(self, labels: Iterable[str]) -> NDArray[np.int64]:
        """Look up indices of cell types, int64 [n]; raises like `perturbation_indices`."""
        return _indices(labels, self.cell_types, "cell type")

    def batch_indices(self, labels: Iterable[str | None]) -> NDArray[np.int64]:
        """Indices of batches, int64 [n]; that of the null class for any other."""
        places: dict[str | None, int] = {label: i for i, label in enumerate(self.batches)}
        return np.array([places.get(label, len(places)) for label in labels], dtype=np.int64)

    def to_json(self) -> str:
        """The vocabulary as JSON text."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def load(cls, path: str | Path) -> "Vocabulary":
        """Read the output of `to_json`."""
        content = json.loads(Path(path).read_text("utf-8"))
        return cls(
            tuple(content["perturbations"]),
            tuple(content["cell_types"]),
            tuple(content["kinds"]),
            tuple(content["negative_controls"]),
            tuple(content["batches"]),
        )


def _indices(labels: Iterable[str], known: tuple[str, ...], kind: str) -> NDArray[np.int64]:
    places = {label: number for number, label in enumerate(known)}
    labels = list(labels)
    unknown = sorted({label for label in labels if label not in places}, key=str)
    if unknown:
        raise DataError(
            f"The {kind} {unknown[0]!r} is unknown to the generator; it knows "
            f"{', '.join(known[:20])}{' ...' if len(known) > 20 else ''}."
        )
    return np.array([places[label] for label in labels], dtype=np.int64)


def vocabulary_of(fields: pd.DataFrame, batches: Iterable[str] = ()) -> Vocabulary:
    """The vocabulary of real fields.

    Parameters
    ----------
    fields
        With `perturbation`, `perturbation_kind`, `cell_type` and `control`.
    batches
        Batches of the fields that are trained on: no other one can be learnt.

    Raises
    ------
    DataError
        If fields of one perturbation have several kinds.
    """
    kinds = fields[["perturbation", "perturbation_kind"]].drop_duplicates()
    twice = kinds["perturbation"].duplicated()
    if twice.any():
        name = kinds.loc[twice, "perturbation"].iloc[0]
        found = sorted(kinds.loc[kinds["perturbation"] == name, "perturbation_kind"])
        raise DataError(
            f"The perturbation {name!r} has the kinds {' and '.join(found)}: use a separate name "
            "for each."
        )
    kind = kinds.set_index("perturbation")["perturbation_kind"].sort_index()
    negative = fields.loc[fields["control"] == "negative", "perturbation"]
    return Vocabulary(
        tuple(map(str, kind.index)),
        tuple(sorted(fields["cell_type"].unique())),
        tuple(map(str, kind)),
        tuple(sorted(negative.unique())),
        tuple(sorted(set(batches))),
    )
