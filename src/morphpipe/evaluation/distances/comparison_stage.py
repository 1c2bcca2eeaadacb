"""Run a configured comparison on stored metric tables."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from morphpipe.config.comparisons import Comparison
from morphpipe.core.errors import DataError
from morphpipe.evaluation.distances.comparison import compare
from morphpipe.tables.metric_table import read_metric_table


def compare_experiments(
    comparison: Comparison, model: Sequence[str | Path], baseline: Sequence[str | Path]
) -> pa.Table:
    """Compare the two experiments of a comparison.

    Parameters
    ----------
    comparison
        From the configuration.
    model, baseline
        Metric tables with distances of fields and of crops.

    Returns
    -------
    pyarrow.Table
        See `morphpipe.evaluation.distances.comparison.compare`.

    Raises
    ------
    DataError
        If the tables belong to other experiments or cannot be compared.
    """
    sides = []
    for name, paths in ((comparison.model, model), (comparison.baseline, baseline)):
        table = pd.concat([read_metric_table(path).to_pandas() for path in paths])
        if set(table["experiment"]) != {name}:
            raise DataError(
                f"The metric tables {', '.join(map(str, paths))} do not belong to {name}, which "
                "the comparison names."
            )
        sides.append(table)
    return compare(
        *sides,
        comparison=comparison.comparison,
        metrics=comparison.metrics,
        encoders=comparison.encoders,
    )
