"""The sampling plan: which images are generated, numbered once and for all."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from morphpipe.config.experiments import Sampling
from morphpipe.errors import DataError
from morphpipe.perturbations.vocabulary import Vocabulary


def sampling_plan(fields: pd.DataFrame, settings: Sampling) -> pd.DataFrame:
    """List the images of one sampling seed.

    Parameters
    ----------
    fields
        Real fields of the split, with `cell_type`, `perturbation`, `perturbation_kind`,
        `control`.
    settings
        Which conditions, and how many images of each.

    Returns
    -------
    pandas.DataFrame
        `sample_index` (from 0), `cell_type`, `perturbation`, `perturbation_kind`, `control`;
        condition by condition.

    Raises
    ------
    DataError
        When a cell type or perturbation is not in the data.
    """
    known = fields.drop_duplicates("perturbation").set_index("perturbation")
    cell_types = _chosen(settings.cell_types, sorted(fields["cell_type"].unique()), "cell type")
    all_perturbations = sorted(fields["perturbation"].unique())
    named = _chosen(settings.perturbations, all_perturbations, "perturbation")
    if settings.random_perturbations is not None:
        named = [] if settings.perturbations is None else named
        others = [p for p in all_perturbations if p not in named]
        if settings.random_perturbations > len(others):
            raise DataError(
                f"sampling.random_perturbations is {settings.random_perturbations}, but only "
                f"{len(others)} perturbations are left to draw from."
            )
        # One draw for all seeds, so that generated sets of several seeds can be compared.
        random = np.random.default_rng(settings.seeds[0])
        drawn = random.choice(others, settings.random_perturbations, replace=False)
        named = [*named, *sorted(map(str, drawn))]
    rows = [
        (cell_type, perturbation)
        for cell_type in cell_types
        for perturbation in named
        for _ in range(settings.per_condition)
    ]
    plan = pd.DataFrame(rows, columns=["cell_type", "perturbation"])
    plan.insert(0, "sample_index", np.arange(len(plan)))
    for column in ("perturbation_kind", "control"):
        plan[column] = plan["perturbation"].map(known[column])
    return plan


def plan_shard(plan: pd.DataFrame, shard: int, shards: int) -> pd.DataFrame:
    """The rows of one shard: an equal run of sample indices.

    Raises
    ------
    DataError
        When there are more shards than images.
    """
    if shards > len(plan):
        raise DataError(
            f"sampling.shards is {shards}, but there are only {len(plan)} images to generate: "
            "lower it."
        )
    bounds = np.linspace(0, len(plan), shards + 1).round().astype(int)
    return plan.iloc[bounds[shard] : bounds[shard + 1]].reset_index(drop=True)


def _chosen(wanted: Sequence[str] | None, known: list[str], kind: str) -> list[str]:
    if wanted is None:
        return known
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise DataError(
            f"The sampling plan asks for the {kind} {unknown[0]!r}, which the data do not have; "
            f"they have {', '.join(known[:20])}{' ...' if len(known) > 20 else ''}."
        )
    return list(wanted)


def read_conditions(path: str | Path, vocabulary: Vocabulary) -> pd.DataFrame:
    """A sampling plan from a list of conditions.

    Parameters
    ----------
    path
        CSV with the columns `cell_type`, `perturbation`, `images`.
    vocabulary
        What the generator knows.

    Raises
    ------
    DataError
        When a column is missing, a label is unknown or a number makes no sense.
    """
    try:
        # A label "NA" is a label.
        table = pd.read_csv(
            path, dtype={"cell_type": str, "perturbation": str}, keep_default_na=False
        )
    except (OSError, ValueError) as error:
        raise DataError(f"The list of conditions {path} cannot be read: {error}") from None
    missing = {"cell_type", "perturbation", "images"} - set(table.columns)
    if missing:
        raise DataError(f"{path} lacks the columns {', '.join(sorted(missing))}.")
    vocabulary.perturbation_indices(table["perturbation"])
    vocabulary.cell_type_indices(table["cell_type"])
    counts = pd.to_numeric(table["images"], errors="coerce")
    if counts.isna().any() or (counts < 1).any() or (counts % 1 != 0).any():
        raise DataError(f"{path}: `images` has to be a whole number of at least 1 in every row.")
    plan = table.loc[table.index.repeat(counts.astype(int)), ["cell_type", "perturbation"]]
    plan = plan.reset_index(drop=True)
    plan.insert(0, "sample_index", np.arange(len(plan)))
    kinds = dict(zip(vocabulary.perturbations, vocabulary.kinds, strict=True))
    plan["perturbation_kind"] = plan["perturbation"].map(kinds)
    negative = plan["perturbation"].isin(vocabulary.negative_controls)
    plan["control"] = np.where(negative, "negative", "none")
    return plan
