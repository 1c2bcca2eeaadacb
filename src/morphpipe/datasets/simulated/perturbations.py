"""Simulated perturbations and their true effects.

A perturbation multiplies the medians of some parameters, so a shift is a difference of natural
logarithms. The sizes range from no effect to one plain to the eye.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from morphpipe.core.errors import ConfigError
from morphpipe.datasets.simulated.phenotype import PARAMETERS, cell_type_named


@dataclass(frozen=True, slots=True)
class Perturbation:
    """A perturbation and its shifts.

    Attributes
    ----------
    kind
        `"none"` for the negative control, otherwise `"compound"`.
    shifts
        Shift of the natural logarithm of each affected parameter.
    cell_types
        The cell types that respond; None if all do.
    """

    name: str
    description: str
    kind: str
    shifts: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    cell_types: frozenset[str] | None = None

    def shifts_in(self, cell_type: str) -> Mapping[str, float]:
        """Shifts of the log-parameters in one cell type; empty if it does not respond."""
        if self.cell_types is not None and cell_type not in self.cell_types:
            return MappingProxyType({})
        return self.shifts


# Shifts of the graded series at full strength.
_MITOCHONDRIAL_STRESS: Mapping[str, float] = MappingProxyType(
    {
        "cell_density": -0.60,
        "cell_area": -0.40,
        "nuclear_area": -0.15,
        "mitochondria_length": -1.20,
        "mito_level": 0.60,
        "ER_level": -0.80,
    }
)


def _graded(name: str, strength: float) -> Perturbation:
    return Perturbation(
        name,
        f"fewer and smaller cells, short bright mitochondria, dim ER; strength {strength:.2f}",
        "compound",
        MappingProxyType({key: strength * shift for key, shift in _MITOCHONDRIAL_STRESS.items()}),
    )


PERTURBATIONS: Mapping[str, Perturbation] = MappingProxyType(
    {
        perturbation.name: perturbation
        for perturbation in (
            Perturbation("control", "negative control", "none"),
            Perturbation("inert", "does nothing", "compound"),
            _graded("graded-low", 1 / 3),
            _graded("graded-mid", 2 / 3),
            _graded("graded-high", 1.0),
            Perturbation(
                "nuclear-swelling",
                "large dim nuclei with fewer, RNA-rich nucleoli",
                "compound",
                MappingProxyType(
                    {
                        "nuclear_area": 0.55,
                        "DNA_level": -0.40,
                        "nucleolus_count": -0.60,
                        "RNA_level": 0.35,
                        "cell_density": -0.15,
                    }
                ),
            ),
            Perturbation(
                "actin-bundling",
                "elongated cells full of stress fibres",
                "compound",
                MappingProxyType(
                    {
                        "stress_fibres": 0.90,
                        "actin_level": 0.35,
                        "cell_elongation": 0.45,
                        "RNA_level": -0.25,
                    }
                ),
            ),
            Perturbation(
                "Golgi-dispersal",
                "the Golgi spreads around the nucleus and fades; RNA is lost",
                "compound",
                MappingProxyType({"Golgi_spread": 0.80, "Golgi_level": -0.40, "RNA_level": -0.30}),
            ),
            Perturbation(
                "hepatic-ER-expansion",
                "bright ER and swollen cells; only hepatic cells respond",
                "compound",
                MappingProxyType({"ER_level": 0.45, "cell_area": 0.25, "mito_level": -0.60}),
                frozenset({"hepatic"}),
            ),
        )
    }
)


def perturbation_named(name: str) -> Perturbation:
    """Look up a perturbation.

    Raises
    ------
    ConfigError
        If the name is unknown.
    """
    if name not in PERTURBATIONS:
        raise ConfigError(
            f"The simulated screen has no perturbation {name!r}; "
            f"choose from {', '.join(PERTURBATIONS)}."
        )
    return PERTURBATIONS[name]


def true_effect(perturbation: str, cell_type: str) -> float:
    r"""Compute the size of a perturbation's effect in a cell type against the negative control.

    .. math:: \sum_p \frac{s_p^2}{\sigma_{p,\mathrm{cells}}^2 + \sigma_{p,\mathrm{wells}}^2}

    with :math:`s_p` the shift of the logarithm of parameter p and its two standard deviations: the
    squared Euclidean distance of the conditions' parameters in units of their spread. Variation of
    cell cycle, plates and camera is not included.

    Parameters
    ----------
    perturbation, cell_type
        Names in `PERTURBATIONS` and `CELL_TYPES`.

    Returns
    -------
    float
        At least 0; exactly 0 for the negative control, the inert compound and cell types that do
        not respond.

    Raises
    ------
    ConfigError
        If a name is unknown.
    """
    shifts = perturbation_named(perturbation).shifts_in(cell_type_named(cell_type).name)
    return math.fsum((shift / PARAMETERS[key].deviation) ** 2 for key, shift in shifts.items())
