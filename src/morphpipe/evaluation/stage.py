"""Metric tables of an experiment, from stored feature and field tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from morphpipe.config.experiments import Evaluation
from morphpipe.datasets.splits.table import fields_on, read_split
from morphpipe.evaluation.core.cell_counts import read_counts
from morphpipe.evaluation.core.feature_set import FeatureSet, check_comparable
from morphpipe.evaluation.core.load import load_feature_set, views_in
from morphpipe.evaluation.registry import Rows, load_measure
from morphpipe.tables.metric_table import metric_table

# Whole-image views; all others are single channels.
WHOLE_IMAGES = ("all", "rgb")


@dataclass(frozen=True)
class EvaluationInputs:
    """Inputs of an experiment's metric tables.

    Attributes
    ----------
    fields, split, samples
        Field table, split table and archives of generated images.
    experiment, dataset, generator
        Names for the table.
    source
        Source of the dataset; the true effects of a `simulated` one are known.
    evaluation
        Settings from the experiment's `evaluation` that the measure reads, see
        `Evaluation.read_by`.
    real, generated
        Folders of feature tables by encoder.
    counts
        Tables of cell counts of real and generated fields; for ``matched`` only.
    """

    fields: str
    split: str
    samples: Sequence[str]
    experiment: str
    dataset: str
    generator: str
    source: str
    evaluation: Mapping[str, Any]
    real: Mapping[str, Sequence[str]]
    generated: Mapping[str, Sequence[str]]
    counts: Sequence[str] = ()

    @property
    def settings(self) -> Evaluation:
        """The experiment's `evaluation`."""
        return Evaluation.model_validate(self.evaluation)

    @property
    def context(self) -> dict[str, str]:
        """Columns shared by all rows."""
        return {
            "experiment": self.experiment,
            "dataset": self.dataset,
            "generator": self.generator,
        }

    @property
    def cells(self) -> dict[str, int]:
        """Cell count of every field, by id."""
        return read_counts(self.counts)

    def feature_sets(
        self, *, every_view: bool
    ) -> Iterator[tuple[FeatureSet, FeatureSet, FeatureSet]]:
        """Iterate over generated, held-out and training features, by encoder and view.

        `every_view` includes single channels as well as whole images.
        """
        sides = read_split(self.split)
        test, train = set(fields_on(sides, "test")), set(fields_on(sides, "train"))
        units = self.settings.units
        for encoder, folders in self.real.items():
            # The real images may have more views, for other experiments.
            for view in views_in(self.generated[encoder][0]):
                if not (every_view or view in WHOLE_IMAGES):
                    continue
                everything = load_feature_set(
                    [f"{folder}/{view}.parquet" for folder in folders],
                    [self.fields],
                    needed=test | train,
                    units=units,
                )
                generated = load_feature_set(
                    [f"{folder}/{view}.parquet" for folder in self.generated[encoder]],
                    self.samples,
                )
                check_comparable(generated, everything)
                ids = everything.keys["field_id"]
                yield (
                    generated,
                    everything.select(ids.isin(test).to_numpy()),
                    everything.select(ids.isin(train).to_numpy()),
                )


def measured(name: str, inputs: EvaluationInputs) -> dict[str, pa.Table]:
    """Measure an experiment.

    Parameters
    ----------
    name
        Name of the measure (`morphpipe.evaluation.registry.MODULES`).
    inputs
        Features are loaded by encoder and view.

    Returns
    -------
    dict
        ``metrics``, the metric table, and the measure's additional tables by name.

    Raises
    ------
    ConfigError
        If there is no such measure.
    DataError
        If the tables are inconsistent or lack images.
    """
    measure = load_measure(name)
    given = measure.settings(inputs.settings) | {
        need: getattr(inputs, need) for need in measure.needs
    }
    rows: Rows = []
    further: dict[str, Rows] = {table: [] for table in measure.further}
    for sets in inputs.feature_sets(every_view=measure.every_view):
        if measure.once is not None and not rows:
            rows += measure.once(*sets, context=inputs.context, **given)
        found = measure.function(*sets, context=inputs.context, **given)
        if measure.further:
            found, *others = found
            for table, more in zip(further.values(), others, strict=True):
                table += more
        rows += found
    return {"metrics": metric_table(rows)} | {
        table: pa.Table.from_pylist(of_table, schema=measure.further[table])
        for table, of_table in further.items()
    }
