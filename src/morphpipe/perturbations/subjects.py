"""Perturbations of a table of conditions, with their genes and structures."""

import numpy as np
import pandas as pd

from morphpipe.config.conditions import Condition
from morphpipe.core.errors import ConfigError, DataError
from morphpipe.perturbations.names import closest, listed


def subjects_of(fields: pd.DataFrame, settings: Condition) -> pd.DataFrame:
    """Collect the perturbations of a dataset and `extra`, with genes and structures.

    Parameters
    ----------
    fields
        `perturbation`, `control`, `gene` and `smiles` of all fields.
    settings
        The condition.

    Returns
    -------
    pandas.DataFrame
        One row per perturbation: `perturbation`, `gene` and `smiles` (None if unknown or unused by
        the condition), `control` (whether it is a negative control), and `reference`: whether it is
        a treatment of the dataset.

    Raises
    ------
    ConfigError
        If `settings.smiles` has perturbations neither in the dataset nor in `extra`.
    DataError
        If a perturbation has two genes or structures.
    """
    known = fields[["perturbation", "control", "gene", "smiles"]].drop_duplicates()
    names = sorted(known["perturbation"].unique())
    controls = set(known.loc[known["control"] == "negative", "perturbation"])
    extra = sorted(set(settings.extra) - set(names))
    genes: dict[str, str] = {}
    smiles: dict[str, str] = {}
    if settings.kind == "scgpt":
        # Perturbations outside the table have no other information.
        genes = _one_each(known, "gene") | {name: name for name in extra}
    given = getattr(settings, "smiles", None)
    if given is not None:
        wrong = sorted(set(given) - set(names) - set(extra))
        if wrong:
            similar = closest(wrong[0], [*names, *extra])
            raise ConfigError(
                f"The condition's `smiles` names {listed(wrong)}, which "
                f"{'is' if len(wrong) == 1 else 'are'} neither in the dataset nor in `extra`"
                f"{f' ({similar!r} is)' if similar else ''}."
            )
        corrected = known[~known["perturbation"].isin(given)]
        smiles = _one_each(corrected, "smiles") | given
    every = [*names, *extra]
    return pd.DataFrame(
        {
            "perturbation": pd.Series(every, dtype=object),
            "gene": pd.Series([genes.get(name) for name in every], dtype=object),
            "smiles": pd.Series([smiles.get(name) for name in every], dtype=object),
            "control": [name in controls for name in every],
            "reference": [name not in controls for name in names] + [False] * len(extra),
        }
    )


def _one_each(known: pd.DataFrame, column: str) -> dict[str, str]:
    pairs = known.loc[known[column].notna(), ["perturbation", column]].drop_duplicates()
    repeated = pairs.loc[pairs["perturbation"].duplicated(), "perturbation"]
    if len(repeated):
        name = repeated.iloc[0]
        values = pairs.loc[pairs["perturbation"] == name, column]
        raise DataError(
            f"The perturbation {name!r} has more than one `{column}` in the field table "
            f"({listed(sorted(values))}): give each its own name."
        )
    return dict(zip(pairs["perturbation"], pairs[column], strict=True))


def conditions_of(fields: pd.DataFrame, settings: Condition) -> list[tuple[str, float | None]]:
    """List the rows of a table of conditions: perturbations with concentrations, sorted.

    The concentration is None if ignored. Perturbations of `extra` get every concentration of the
    dataset.

    Raises
    ------
    DataError
        If a concentration is negative.
    """
    names = set(fields["perturbation"])
    extra = set(settings.extra) - names
    if settings.concentration == "ignored":
        return [(name, None) for name in sorted(names | extra)]
    known = fields[["perturbation", "concentration"]].drop_duplicates()
    negative = known[known["concentration"] < 0]
    if len(negative):
        row = negative.iloc[0]
        raise DataError(
            f"The perturbation {row['perturbation']!r} has the concentration "
            f"{row['concentration']:g} in the field table: it must not be negative."
        )
    pairs = [
        (str(name), plain(value))
        for name, value in zip(known["perturbation"], known["concentration"], strict=True)
    ]
    doses: set[float | None] = {value for _, value in pairs if value}
    pairs += [(name, value) for name in extra for value in doses or {None}]
    return sorted(pairs, key=lambda pair: (pair[0], -1.0 if pair[1] is None else pair[1]))


def plain(value: float | None) -> float | None:
    """Convert NaN to None."""
    return None if value is None or np.isnan(value) else float(value)
