"""Embeddings of perturbations, by kind of condition."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphpipe.config.conditions import (
    Condition,
    ConstantCondition,
    MorganCondition,
    RandomCondition,
    RDKitCondition,
    ScGPTCondition,
    TableCondition,
)
from morphpipe.core.checksums import check_recorded
from morphpipe.core.errors import DataError, WeightsError
from morphpipe.perturbations.names import NameIndex, normalise_compound
from morphpipe.perturbations.random_codes import random_code
from morphpipe.perturbations.vector_table import VectorTable, read_vectors

if TYPE_CHECKING:  # other kinds do not need torch
    from morphpipe.perturbations.scgpt import GeneEncoder

Value = TypeVar("Value")


@dataclass(frozen=True)
class Embeddings:
    """Vectors of perturbations, and reasons for missing ones.

    Attributes
    ----------
    vectors
        float32 [d] by perturbation.
    width
        d.
    description
        Their origin.
    reasons
        Reason of a missing vector, by perturbation.
    way_out
        Advice for missing vectors.
    columns
        Names of the columns, if known.
    standardisation
        Standardisation of `morphpipe.perturbations.rdkit_descriptors`, as plain values.
    """

    vectors: dict[str, NDArray[np.float32]]
    width: int
    description: str
    reasons: dict[str, str] = field(default_factory=dict)
    way_out: str = ""
    columns: tuple[str, ...] | None = None
    standardisation: dict[str, object] | None = None


def embed(subjects: pd.DataFrame, settings: Condition, weights: Path | None) -> Embeddings:
    """Embed perturbations.

    Parameters
    ----------
    subjects
        One row per perturbation: `perturbation`, `gene`, `smiles` (None if unknown), and
        `reference`, whether descriptors are standardised over it.
    settings
        The condition.
    weights
        Folder of the declared weights, if the kind needs any.

    Raises
    ------
    DataError
        If a table is invalid or has another width.
    WeightsError
        If weights are missing or differ from their declaration.
    """
    names = list(subjects["perturbation"])
    match settings:
        case ConstantCondition():
            value = np.full(settings.width, settings.value, np.float32)
            return Embeddings(
                dict.fromkeys(names, value), settings.width, f"{settings.value:g} throughout"
            )
        case RandomCondition():
            codes = {name: random_code(name, settings.width, settings.seed) for name in names}
            return Embeddings(codes, settings.width, f"random codes of seed {settings.seed}")
        case ScGPTCondition():
            return _of_genes(subjects, settings, weights)
        case MorganCondition():
            return _fingerprints(subjects, settings)
        case RDKitCondition(form="computed"):
            return _descriptors(subjects)
        case RDKitCondition():
            return _published_descriptors(names, settings, weights)
        case TableCondition():
            return _own_table(names, settings)


def _of_genes(subjects: pd.DataFrame, settings: ScGPTCondition, weights: Path | None) -> Embeddings:
    place = _folder(settings.kind, settings.weights, weights)
    source: GeneEncoder | VectorTable
    if settings.form == "checkpoint":
        from morphpipe.perturbations.scgpt import read_gene_encoder

        source = read_gene_encoder(place)
        description = "gene tokens of scGPT's checkpoint"
    else:
        place = _table_in(place, settings.file)
        source = read_vectors(place)
        description = f"scGPT's gene embeddings, from {place.name}"
    if source.width != settings.width:
        raise DataError(
            f"{place} has {source.width} numbers per gene, but the condition's `width` is "
            f"{settings.width}: is it the right file?"
        )
    index = NameIndex(source.names, str.casefold)
    rows, reasons = {}, {}
    for name, gene in zip(subjects["perturbation"], subjects["gene"], strict=True):
        row = None if gene is None else index.find(gene)
        if row is not None:
            rows[name] = row
        else:
            reasons[name] = "no gene" if gene is None else f"no gene {gene} in {place.name}"
    return Embeddings(
        dict(zip(rows, source.take(list(rows.values())), strict=True)),
        source.width,
        description,
        reasons,
        "correct the column `gene` of the field table",
    )


def _fingerprints(subjects: pd.DataFrame, settings: MorganCondition) -> Embeddings:
    from morphpipe.perturbations.morgan import morgan_fingerprint

    vectors, reasons = _of_structures(
        subjects, lambda smiles: morgan_fingerprint(smiles, settings.radius, settings.bits)
    )
    return Embeddings(
        vectors,
        settings.bits,
        f"Morgan fingerprints of radius {settings.radius}",
        reasons,
        _WITHOUT_STRUCTURE,
    )


def _descriptors(subjects: pd.DataFrame) -> Embeddings:
    from morphpipe.perturbations.rdkit_descriptors import descriptors, standardise

    values, reasons = _of_structures(subjects, descriptors)
    reference = subjects.loc[subjects["reference"], "perturbation"]
    measured = [values[name] for name in reference if name in values]
    if not measured:
        # They are all reported by name, which is more helpful than an error of standardisation.
        return Embeddings({}, 0, "RDKit descriptors", reasons, _WITHOUT_STRUCTURE)
    standardisation = standardise(np.stack(measured))
    scores = standardisation.apply(np.stack(list(values.values()))).astype(np.float32)
    return Embeddings(
        dict(zip(values, scores, strict=True)),
        scores.shape[1],
        f"{scores.shape[1]} RDKit descriptors, standardised over {len(measured)} compounds",
        reasons,
        _WITHOUT_STRUCTURE,
        standardisation.names,
        standardisation.to_dict(),
    )


_WITHOUT_STRUCTURE = "give structures by name in the condition's `smiles`"


def _of_structures(
    subjects: pd.DataFrame, compute: Callable[[str], Value]
) -> tuple[dict[str, Value], dict[str, str]]:
    values, reasons = {}, {}
    for name, smiles in zip(subjects["perturbation"], subjects["smiles"], strict=True):
        if smiles is None:
            reasons[name] = "no SMILES"
            continue
        try:
            values[name] = compute(smiles)
        except DataError as error:
            reasons[name] = str(error).rstrip(".")
    return values, reasons


def _published_descriptors(
    names: list[str], settings: RDKitCondition, weights: Path | None
) -> Embeddings:
    path = _table_in(_folder(settings.kind, str(settings.weights), weights), settings.file)
    return _by_name(
        names,
        read_vectors(path),
        path,
        f"RDKit descriptors, from {path.name}",
        "compute the descriptors (`form: computed`)",
    )


def _own_table(names: list[str], settings: TableCondition) -> Embeddings:
    path = Path(settings.file)
    table = read_vectors(path)
    if table.header is None or table.header[0] != "perturbation":
        raise DataError(
            f"{path} must start with a header whose first column is `perturbation`, not "
            f"{(table.header or table.names)[0]!r}."
        )
    return _by_name(names, table, path, f"the table {path.name}", f"add them to {path}")


def _by_name(
    names: list[str], table: VectorTable, path: Path, description: str, way_out: str
) -> Embeddings:
    index = NameIndex(table.names, normalise_compound)
    vectors, reasons = {}, {}
    for name in names:
        row = index.find(name)
        if row is not None:
            vectors[name] = table.take([row])[0]
        else:
            reasons[name] = f"not in {path.name}"
    return Embeddings(vectors, table.width, description, reasons, way_out, table.columns)


def _folder(kind: str, name: str, weights: Path | None) -> Path:
    if weights is None:
        raise WeightsError(
            f"A condition of kind {kind} needs the weights {name!r}: download them with `morphpipe "
            f"weights {name}`, and pass their folder."
        )
    return weights


def _table_in(folder: Path, file: str | None) -> Path:
    path = _only_table(folder) if file is None else folder / file
    check_recorded(path)
    return path


def _only_table(folder: Path) -> Path:
    suffixes = (".csv", ".csv.gz", ".parquet")
    tables = sorted(p for p in folder.glob("*") if p.name.lower().endswith(suffixes))
    if len(tables) != 1:
        found = ", ".join(p.name for p in tables) or "none"
        raise WeightsError(
            f"The condition does not specify the `file` of its table in {folder}; there are: "
            f"{found}."
        )
    return tables[0]
