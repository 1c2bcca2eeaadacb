"""The table of conditions: an embedding per perturbation."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ValidationError

from morphpipe.config.base import Model
from morphpipe.config.conditions import Condition
from morphpipe.config.messages import faults
from morphpipe.core.errors import ConfigError, DataError
from morphpipe.core.storage import read_parquet, write_parquet
from morphpipe.perturbations.embeddings import Embeddings, embed
from morphpipe.perturbations.names import LIMIT, closest, listed
from morphpipe.perturbations.subjects import conditions_of, plain, subjects_of

_METADATA_KEY = b"morphpipe"
_SCHEMA = pa.schema(
    [
        pa.field("perturbation", pa.string(), nullable=False),
        # Micromolar; null if not given or ignored.
        pa.field("concentration", pa.float64()),
        # Null if missing, with a reason.
        pa.field("embedding", pa.list_(pa.float32())),
        pa.field("reason", pa.string()),
    ]
)
_CONCENTRATION_COLUMNS = ("log10_concentration", "has_concentration")


@dataclass(frozen=True)
class ConditionTable:
    """Embeddings of perturbations.

    Attributes
    ----------
    frame
        One row per condition, sorted: `perturbation`, `concentration` (micromolar, NaN if not given
        or ignored) and `reason` of a missing embedding, or None.
    matrix
        float32 [rows, width]; NaN in rows without an embedding.
    settings
        The configured condition, as plain values.
    description
        Origin of the embeddings.
    columns
        Names of the columns, if known.
    standardisation
        Standardisation of descriptors: names, means, deviations, number of compounds.
    """

    frame: pd.DataFrame
    matrix: NDArray[np.float32]
    settings: dict[str, Any]
    description: str
    columns: tuple[str, ...] | None = None
    standardisation: dict[str, Any] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def kind(self) -> str:
        """Kind of the condition."""
        return str(self.settings["kind"])

    @property
    def width(self) -> int:
        """Width of an embedding."""
        return int(self.matrix.shape[1])

    @property
    def missing(self) -> pd.DataFrame:
        """`perturbation` and `reason` of conditions without an embedding."""
        without = self.frame.loc[self.frame["reason"].notna(), ["perturbation", "reason"]]
        return without.drop_duplicates(ignore_index=True)

    def concentrations(self) -> dict[str, list[float]]:
        """Concentrations of each perturbation with an embedding; [NaN] if not given."""
        embedded = self.frame[self.frame["reason"].isna()]
        return {
            str(name): [float(value) for value in rows]
            for name, rows in embedded.groupby("perturbation", sort=True)["concentration"]
        }

    @cached_property
    def _places(self) -> dict[tuple[str, float | None], int]:
        return {
            (name, plain(value)): place
            for place, (name, value) in enumerate(
                zip(self.frame["perturbation"], self.frame["concentration"], strict=True)
            )
        }

    def rows(
        self, perturbations: Iterable[str], concentrations: Iterable[float | None]
    ) -> NDArray[np.int64]:
        """Look up rows of `matrix`, int64 [n].

        Parameters
        ----------
        perturbations
            Names as in the field table.
        concentrations
            Micromolar, or None or NaN; not used if the condition ignores them.

        Raises
        ------
        DataError
            If conditions have no embedding, with reasons.
        """
        ignored = self.settings["concentration"] == "ignored"
        keys = [
            (name, None if ignored else plain(value))
            for name, value in zip(perturbations, concentrations, strict=True)
        ]
        without = self.frame["reason"].notna().to_numpy()
        places = {key: self._places.get(key) for key in keys}
        wrong = [key for key, place in places.items() if place is None or without[place]]
        if wrong:
            # One more than listed, to show that there are more.
            said = [self._why_not(*key) for key in wrong[: LIMIT + 1]]
            raise DataError(
                f"{len(wrong)} conditions have no embedding: {listed(said)}. Correct their names; "
                "or add them to the condition's `extra`, and rebuild its table."
            )
        return np.array([places[key] for key in keys], dtype=np.int64)

    def _why_not(self, name: str, concentration: float | None) -> str:
        place = self._places.get((name, concentration))
        if place is not None:
            return f"{name} ({self.frame['reason'].iloc[place]})"
        doses = self.frame.loc[self.frame["perturbation"] == name, "concentration"]
        if len(doses):
            asked = "no concentration" if concentration is None else f"{concentration:g} uM"
            known = ["none" if np.isnan(dose) else f"{dose:g}" for dose in doses]
            return f"{name} at {asked} (it has embeddings at {listed(known)} uM)"
        similar = closest(name, self.frame["perturbation"].unique())
        return f"{name} (not in the table{f', which has {similar!r}' if similar else ''})"

    def write(self, path: str | Path) -> None:
        """Write the table as Parquet, with its origin in the metadata."""
        embeddings = [
            None if pd.notna(reason) else row
            for row, reason in zip(self.matrix, self.frame["reason"], strict=True)
        ]
        content = {
            "settings": self.settings,
            "width": self.width,
            "description": self.description,
            "columns": None if self.columns is None else list(self.columns),
            "standardisation": self.standardisation,
        }
        columns = [
            pa.array(self.frame["perturbation"], pa.string()),
            pa.array(self.frame["concentration"], pa.float64(), from_pandas=True),
            pa.array(embeddings, pa.list_(pa.float32())),
            pa.array(self.frame["reason"], pa.string(), from_pandas=True),
        ]
        table = pa.Table.from_arrays(columns, schema=_SCHEMA)
        metadata = {_METADATA_KEY: json.dumps(content).encode()}
        write_parquet(table.replace_schema_metadata(metadata), path)

    @classmethod
    def read(cls, path: str | Path) -> "ConditionTable":
        """Read a file of `write`.

        Raises
        ------
        DataError
            If the file is missing, damaged or not a table of conditions.
        """
        table = read_parquet(path)
        metadata = (table.schema.metadata or {}).get(_METADATA_KEY)
        if metadata is None or not table.schema.equals(_SCHEMA, check_metadata=False):
            raise DataError(
                f"{path} is not a table of conditions: make one with `morphpipe conditions`."
            )
        content = json.loads(metadata)
        matrix = np.full((len(table), content["width"]), np.nan, np.float32)
        for row, embedding in enumerate(table["embedding"]):
            if embedding.is_valid:
                matrix[row] = embedding.values.to_numpy(zero_copy_only=False)
        columns = content["columns"]
        return cls(
            _frame(
                table["perturbation"].to_pylist(),
                table["concentration"].to_pylist(),
                table["reason"].to_pylist(),
            ),
            matrix,
            content["settings"],
            content["description"],
            None if columns is None else tuple(columns),
            content["standardisation"],
        )


class _Holder(Model):
    """A condition outside a configuration, for messages."""

    condition: Condition


def read_condition(content: dict[str, Any]) -> Condition:
    """Validate a condition outside a configuration file.

    Raises
    ------
    ConfigError
        With every invalid key.
    """
    try:
        return _Holder.model_validate({"condition": content}).condition
    except ValidationError as error:
        wrong = "; ".join(faults(error, _Holder))
        raise ConfigError(f"The condition is invalid: {wrong}.") from None


def build(fields: pd.DataFrame, settings: Condition, weights: Path | None) -> ConditionTable:
    """Build the table of conditions of a dataset.

    Parameters
    ----------
    fields
        `perturbation`, `control`, `concentration`, `gene` and `smiles` of all fields, see
        `morphpipe.tables.fields`.
    settings
        The condition.
    weights
        Folder of the declared weights, if the kind needs any.

    Returns
    -------
    ConditionTable
        Rows for every perturbation of the dataset and `settings.extra`. Negative controls are
        handled by `settings.control`; descriptors are standardised without controls and `extra`.

    Raises
    ------
    ConfigError
        If `settings.smiles` has perturbations neither in the dataset nor in `extra`.
    DataError
        If a perturbation has two genes or structures, a concentration is negative, a table has
        another width, nothing has an embedding, or (unless they are to be left out) some have none.
    WeightsError
        If weights are missing or differ from their declaration.
    """
    subjects = subjects_of(fields, settings)
    if subjects.empty:
        raise DataError("There are no fields, and so no perturbations to embed.")
    filled = subjects["control"] & (settings.control != "as_data")
    found = embed(subjects[~filled], settings, weights)
    if found.reasons and settings.missing == "stop":
        texts = [f"{name} ({reason})" for name, reason in sorted(found.reasons.items())]
        raise DataError(
            f"{len(texts)} of {len(subjects)} perturbations have no embedding of kind "
            f"{settings.kind}: {listed(texts)}. Either {found.way_out}; or set `missing: "
            "leave_out` to exclude them and their fields."
        )
    if not found.vectors:
        raise DataError(
            f"None of the {len(subjects)} perturbations has an embedding of kind {settings.kind}: "
            f"{listed([f'{name} ({reason})' for name, reason in sorted(found.reasons.items())])}."
        )
    constant = np.full(found.width, 1.0 if settings.control == "ones" else 0.0, np.float32)
    vectors = found.vectors | dict.fromkeys(subjects.loc[filled, "perturbation"], constant)
    return _assemble(conditions_of(fields, settings), vectors, found, settings)


def _assemble(
    pairs: list[tuple[str, float | None]],
    vectors: dict[str, NDArray[np.float32]],
    found: Embeddings,
    settings: Condition,
) -> ConditionTable:
    appended = settings.concentration == "appended"
    names = [name for name, _ in pairs]
    nothing = np.full(found.width, np.nan, np.float32)
    matrix = np.stack([vectors.get(name, nothing) for name in names])
    columns = found.columns
    if appended:
        doses = np.array([concentration_code(value) for _, value in pairs], np.float32)
        # Without an embedding all values are NaN, including the concentration.
        doses[[name not in vectors for name in names]] = np.nan
        matrix = np.concatenate([matrix, doses], axis=1)
        columns = None if columns is None else (*columns, *_CONCENTRATION_COLUMNS)
    return ConditionTable(
        _frame(names, [value for _, value in pairs], [found.reasons.get(name) for name in names]),
        matrix,
        settings.model_dump(mode="json"),
        found.description + (", and the concentration" if appended else ""),
        columns,
        found.standardisation,
    )


def concentration_code(concentration: float | None) -> tuple[float, float]:
    """Encode a concentration for an embedding.

    Parameters
    ----------
    concentration
        Micromolar, or None.

    Returns
    -------
    tuple of float
        log10 of the concentration and 1, or 0 and 0 without one, so that 1 micromolar and no
        concentration differ. A concentration of 0 counts as none.
    """
    if concentration is None or concentration == 0:
        return 0.0, 0.0
    return float(np.log10(concentration)), 1.0


def _frame(
    names: list[str], concentrations: list[float | None], reasons: list[str | None]
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "perturbation": pd.Series(names, dtype=object),
            "concentration": pd.Series(concentrations, dtype="float64"),
            "reason": pd.Series(reasons, dtype=object),
        }
    )
