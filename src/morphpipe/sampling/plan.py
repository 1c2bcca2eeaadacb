"""The sampling plan: a fixed, numbered list of images to generate."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from morphpipe.config.sampling import Sampling
from morphpipe.core.errors import DataError
from morphpipe.perturbations.condition_table import ConditionTable
from morphpipe.perturbations.vocabulary import Vocabulary
from morphpipe.tables.user_tables import read_user_table


def sampling_plan(
    fields: pd.DataFrame,
    settings: Sampling,
    conditions: ConditionTable | None = None,
    *,
    batch_by: str = "batch",
    batches: Sequence[str] = (),
    compared_with: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """List the images of one sampling seed.

    Parameters
    ----------
    fields
        Real fields of the split, with `cell_type`, `perturbation`, `perturbation_kind`,
        `control`.
    settings
        Conditions, and images per condition.
    conditions
        Conditioning embeddings, if any. Perturbations without one are skipped;
        `settings.perturbations` may include perturbations that have an embedding but no data. If
        embeddings depend on the concentration, each concentration is a separate condition.
    batch_by, batches
        Column of the batches, and those that the generator knows; see `Sampling.batch`.
    compared_with
        The real fields that the images are compared with, whose batches `Sampling.batch` asks for;
        None for all of `fields`.

    Returns
    -------
    pandas.DataFrame
        `sample_index`, `image` and `index_in_condition` (from 0), `cell_type`, `perturbation`,
        `perturbation_kind`, `control`, `concentration` (NaN unless the embeddings depend on it),
        `batch` (None for none); grouped by condition. Rows with the same `image` share one image:
        with `one_set` those of all perturbations, otherwise every row has its own.

    Raises
    ------
    DataError
        If a cell type or perturbation is not in the data.
    """
    cell_types = _chosen(settings.cell_types, sorted(fields["cell_type"].unique()), "cell type")
    in_data = set(fields["perturbation"])
    if conditions is None:
        named = _perturbations(settings, sorted(in_data), sorted(in_data))
        doses = {perturbation: [np.nan] for perturbation in named}
    else:
        embedded = conditions.concentrations()
        named = _perturbations(settings, sorted(in_data & set(embedded)), sorted(embedded))
        doses = {perturbation: embedded[perturbation] for perturbation in named}
    rows = [
        (cell_type, perturbation, concentration)
        for cell_type in cell_types
        for perturbation in named
        for concentration in doses[perturbation]
    ]
    of_condition, number = settings.per_condition, len(rows) * settings.per_condition
    order = np.arange(number).reshape(len(cell_types), -1, of_condition)
    if settings.one_set:
        order = order.swapaxes(1, 2)
    condition, index = np.divmod(order.ravel(), of_condition)
    plan = pd.DataFrame(rows, columns=["cell_type", "perturbation", "concentration"])
    plan = plan.iloc[condition].reset_index(drop=True)
    plan.insert(0, "sample_index", np.arange(number))
    shared = len(rows) // len(cell_types) if settings.one_set else 1
    plan.insert(1, "image", np.arange(number) // shared)
    plan.insert(2, "index_in_condition", index)
    known = fields.drop_duplicates("perturbation").set_index("perturbation")
    # One that is not in the data gets the most common kind.
    kinds = fields.loc[fields["control"] != "negative", "perturbation_kind"]
    usual = kinds.mode().iloc[0] if len(kinds) else "none"
    plan["perturbation_kind"] = plan["perturbation"].map(known["perturbation_kind"]).fillna(usual)
    plan["control"] = plan["perturbation"].map(known["control"]).fillna("none")
    real = fields if compared_with is None else compared_with
    plan["batch"] = _batches(plan, real, settings, batch_by, batches)
    return plan


def _batches(
    plan: pd.DataFrame,
    fields: pd.DataFrame,
    settings: Sampling,
    batch_by: str,
    known: Sequence[str],
) -> Sequence[str | None]:
    """The batch of each image: in turn those of the condition's real fields, or the named one.

    Raises
    ------
    DataError
        If the named batch is unknown.
    """
    if settings.batch is None or not known:
        return [None] * len(plan)
    if settings.batch != "real":
        return [*_chosen([settings.batch], list(known), "batch")] * len(plan)
    in_data = fields[fields[batch_by].isin(list(known))]
    of_condition = {
        key: sorted(part.unique())
        for key, part in in_data.groupby(["cell_type", "perturbation"])[batch_by]
    }
    of_type = {key: sorted(part.unique()) for key, part in in_data.groupby("cell_type")[batch_by]}
    chosen: list[str | None] = []
    for row in plan.itertuples():
        found = of_condition.get((row.cell_type, row.perturbation)) or of_type.get(row.cell_type)
        # None where no such batch of the cell type was trained on.
        chosen.append(found[row.index_in_condition % len(found)] if found else None)
    return chosen


def _perturbations(settings: Sampling, usual: list[str], possible: list[str]) -> list[str]:
    """The perturbations to generate: named and randomly drawn ones, or all usual ones."""
    if settings.perturbations is None and settings.random_perturbations is None:
        return usual
    named = _chosen(settings.perturbations or [], possible, "perturbation")
    if settings.random_perturbations is None:
        return named
    others = [p for p in usual if p not in named]
    if settings.random_perturbations > len(others):
        raise DataError(
            f"sampling.random_perturbations is {settings.random_perturbations}, but only "
            f"{len(others)} perturbations are left to draw from."
        )
    # The same draw for all seeds, so that their generated sets are comparable.
    random = np.random.default_rng(settings.seeds[0])
    drawn = random.choice(others, settings.random_perturbations, replace=False)
    return [*named, *sorted(map(str, drawn))]


def plan_shard(plan: pd.DataFrame, shard: int, shards: int) -> pd.DataFrame:
    """Select the rows of one shard, a contiguous block of images.

    Raises
    ------
    DataError
        If there are more shards than images.
    """
    images = plan["image"].nunique()
    if shards > images:
        raise DataError(
            f"sampling.shards is {shards}, but there are only {images} images to generate: "
            "lower it."
        )
    bounds = np.linspace(0, images, shards + 1).round().astype(int)
    chosen = plan["image"].between(bounds[shard], bounds[shard + 1], inclusive="left")
    return plan[chosen].reset_index(drop=True)


def _chosen(wanted: Sequence[str] | None, known: list[str], kind: str) -> list[str]:
    if wanted is None:
        return known
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise DataError(
            f"The sampling plan has the {kind} {unknown[0]!r}, which is not in the data; they have "
            f"{', '.join(known[:20])}{' ...' if len(known) > 20 else ''}."
        )
    return list(wanted)


_COLUMNS = ("cell_type", "perturbation", "images", "concentration")


def read_conditions(
    path: str | Path, vocabulary: Vocabulary, conditions: ConditionTable | None = None
) -> pd.DataFrame:
    """Read a sampling plan from a list of conditions.

    Parameters
    ----------
    path
        CSV with the columns `cell_type`, `perturbation`, `images`, and `concentration` (uM) if the
        generator uses it.
    vocabulary
        Labels of the generator.
    conditions
        Conditioning embeddings, if any, which then define the known perturbations.

    Raises
    ------
    DataError
        If a column is missing or looks misspelt, a label is unknown, or a number is invalid.
    """
    table = _read_list(path)
    table["concentration"] = _concentrations(table, path)
    if conditions is None and table["concentration"].notna().any():
        tqdm.write(f"{path}: concentrations are ignored, since the generator does not use them.")
    vocabulary.cell_type_indices(table["cell_type"])
    if conditions is None:
        vocabulary.perturbation_indices(table["perturbation"])
    else:
        conditions.rows(table["perturbation"], table["concentration"])
    counts = pd.to_numeric(table["images"], errors="coerce")
    if counts.isna().any() or (counts < 1).any() or (counts % 1 != 0).any():
        raise DataError(f"{path}: `images` must be a positive integer in every row.")
    columns = ["cell_type", "perturbation", "concentration"]
    plan = table.loc[table.index.repeat(counts.astype(int)), columns]
    plan = plan.reset_index(drop=True)
    plan.insert(0, "sample_index", np.arange(len(plan)))
    plan.insert(1, "image", np.arange(len(plan)))
    plan.insert(2, "index_in_condition", plan.groupby(columns, dropna=False).cumcount())
    plan = with_kinds(plan, vocabulary)
    plan["batch"] = None
    return plan


def with_kinds(plan: pd.DataFrame, vocabulary: Vocabulary) -> pd.DataFrame:
    """Add `perturbation_kind` and `control` by the labels of a generator.

    A perturbation that training never saw gets the most common kind.
    """
    kinds = dict(zip(vocabulary.perturbations, vocabulary.kinds, strict=True))
    treatments = [
        kind
        for label, kind in kinds.items()
        if label not in vocabulary.negative_controls and kind != "none"
    ]
    usual = max(set(treatments), key=treatments.count) if treatments else "none"
    negative = plan["perturbation"].isin(vocabulary.negative_controls)
    return plan.assign(
        perturbation_kind=plan["perturbation"].map(kinds).fillna(usual),
        control=np.where(negative, "negative", "none"),
    )


def read_cell_types(path: str | Path) -> list[str]:
    """List the cell types of a list of conditions, see `read_conditions`."""
    return sorted(_read_list(path)["cell_type"].unique())


def _read_list(path: str | Path) -> pd.DataFrame:
    table = read_user_table(path, "list of conditions", text=True)
    missing = {"cell_type", "perturbation", "images"} - set(table.columns)
    if missing:
        raise DataError(f"{path} lacks the columns {', '.join(sorted(missing))}.")
    further = [name for name in table.columns if name not in _COLUMNS]
    for name in further:
        if any(word in name.lower() for word in ("conc", "dose")):
            raise DataError(
                f"{path} has an unknown column {name!r}: rename it to `concentration` (in "
                "micromolar), or remove it."
            )
    if further:
        tqdm.write(f"{path}: the columns {', '.join(map(repr, further))} are ignored.")
    return table


def _concentrations(table: pd.DataFrame, path: str | Path) -> pd.Series:
    if "concentration" not in table:
        return pd.Series(np.nan, index=table.index)
    given = table["concentration"].str.strip()
    numbers = pd.to_numeric(given.where(given != ""), errors="coerce")
    wrong = (given != "") & ~(np.isfinite(numbers) & (numbers >= 0))
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise DataError(
            f"{path}, row {row + 1}: the concentration {given.iloc[row]!r} is not a number in "
            "micromolar: write it without a unit and with a decimal point, e.g. 10 or 1.5."
        )
    return numbers
