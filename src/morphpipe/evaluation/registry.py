"""Which measures of an experiment there are, and what each of them needs.

A measure is one module, which holds a `Measure` named ``MEASURE``. To add one, write the module,
add its line to `MODULES`, and name the settings that it reads in `morphpipe.config.experiments`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from morphpipe.core.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

    from morphpipe.config.experiments import Evaluation

Rows = list[dict[str, Any]]

# The command line lists them: they are imported when asked for, and the configuration likewise.
MODULES = {
    "distances": "distances.rows",
    "effects": "effects.rows",
    "probes": "probes.rows",
    "manifold": "coverage.rows",
    "memorisation": "coverage.memorisation",
    "variance": "coverage.variance",
    "cross_perturbation": "distances.cross_perturbation",
    "retrieval": "retrieval.rows",
    "batches": "robustness.batches",
    "matched": "robustness.cell_count_matched",
}
"""Modules in `morphpipe.evaluation` by the name of the measure."""


@dataclass(frozen=True)
class Measure:
    """A measure of generated images against real ones, on features.

    Attributes
    ----------
    name
        Of the measure, and of the file of its metric table.
    function
        Makes the rows of one encoder and view. It is called with generated, held-out real and
        training real images (`morphpipe.evaluation.core.feature_set.FeatureSet`) and, by keyword,
        with `context` (the columns dataset, experiment and generator), with the settings that the
        measure reads and with `needs`. It returns rows of the metric table; where there are
        `further` tables, a tuple of these and of the rows of each further table.
    every_view
        Whether it is made of single channels as well, not of whole images (`all`, `rgb`) alone.
    needs
        Attributes of `morphpipe.evaluation.stage.EvaluationInputs` that it takes beside settings.
    once
        Rows that are the same for every encoder and view; called like `function`.
    further
        Schemas of the tables that it makes beside the metric table, by name.
    """

    name: str
    function: Callable[..., Any]
    every_view: bool = False
    needs: tuple[str, ...] = ()
    once: Callable[..., Rows] | None = None
    further: Mapping[str, "pa.Schema"] = field(default_factory=dict)

    def settings(self, evaluation: "Evaluation") -> dict[str, Any]:
        """The settings that the measure reads (`morphpipe.config.experiments.READ_BY`)."""
        from morphpipe.config.experiments import READ_BY

        return {key: getattr(evaluation, key) for key in READ_BY[self.name]}


def load_measure(name: str) -> Measure:
    """Import the module of a measure.

    Raises
    ------
    ConfigError
        If there is no such measure.
    """
    if name not in MODULES:
        raise ConfigError(f"There are no metrics {name!r}: choose {', '.join(MODULES)}.")
    measure: Measure = import_module(f"morphpipe.evaluation.{MODULES[name]}").MEASURE
    return measure
