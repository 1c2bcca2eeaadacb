"""Registry of the measures.

To add a measure, write a module with a `Measure` named ``MEASURE``, add it to `MODULES`, and name
the settings that it reads in `morphpipe.config.experiments`.
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

# Imported lazily, since the command line only lists their names.
MODULES = {
    "distances": "distances.rows",
    "effects": "effects.rows",
    "probes": "probes.rows",
    "manifold": "coverage.rows",
    "memorisation": "coverage.memorisation",
    "variance": "coverage.variance",
    "cross_perturbation": "distances.cross_perturbation",
    "retrieval": "retrieval.rows",
    "condition_fidelity": "retrieval.condition_fidelity",
    "batches": "robustness.batches",
    "matched": "robustness.cell_count_matched",
}
"""Modules in `morphpipe.evaluation`, by measure."""


@dataclass(frozen=True)
class Measure:
    """A measure of generated against real images, on features.

    Attributes
    ----------
    name
        Name of the measure and of its metric table's file.
    function
        Makes the rows of one encoder and view. It is called with generated, held-out real and
        training real images (`morphpipe.evaluation.core.feature_set.FeatureSet`) and, by keyword,
        with `context` (the columns dataset, experiment and generator), the settings of the measure
        and `needs`. It returns rows of the metric table; with `further` tables, a tuple of these
        and the rows of each further table.
    every_view
        Whether single channels are measured as well as whole images (`all`, `rgb`).
    needs
        Attributes of `morphpipe.evaluation.stage.EvaluationInputs` passed in addition to settings.
    once
        Makes rows that do not depend on encoder and view; called like `function`.
    further
        Schemas of additional tables, by name.
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
        raise ConfigError(f"Unknown measure {name!r}; choose from {', '.join(MODULES)}.")
    measure: Measure = import_module(f"morphpipe.evaluation.{MODULES[name]}").MEASURE
    return measure
