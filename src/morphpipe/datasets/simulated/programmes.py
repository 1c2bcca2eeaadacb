"""Groups of simulated perturbations with comparable true effects."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from morphpipe.datasets.simulated import PARAMETERS, PERTURBATIONS


@dataclass(frozen=True)
class Programme:
    """Perturbations that shift the same parameters in the same proportions.

    Attributes
    ----------
    name
        Common prefix of their names; the full name of a single one.
    members
        Weakest first.
    """

    name: str
    members: tuple[str, ...]

    @property
    def is_series(self) -> bool:
        """Whether there are several strengths, so that true effects can be compared."""
        return len(self.members) > 1


def _shifts(name: str) -> np.ndarray:
    return np.array([PERTURBATIONS[name].shifts.get(key, 0.0) for key in PARAMETERS])


def programmes(names: Iterable[str]) -> list[Programme]:
    """Group simulated perturbations by the parameters they shift, series first.

    True effects are distances in parameter space; how parameters translate to a feature space is
    unknown, so effects are comparable only along one direction.

    Parameters
    ----------
    names
        Perturbations; inert and unknown ones are in no programme.
    """
    found: list[tuple[np.ndarray, list[str]]] = []
    for name in dict.fromkeys(names):
        shifts = _shifts(name) if name in PERTURBATIONS else np.zeros(1)
        size = float(np.linalg.norm(shifts))
        if size == 0:
            continue
        for direction, members in found:
            if np.allclose(shifts / size, direction):
                members.append(name)
                break
        else:
            found.append((shifts / size, [name]))
    made = []
    for _, members in found:
        members.sort(key=lambda name: float(np.linalg.norm(_shifts(name))))
        first = {name.partition("-")[0] for name in members}
        name = first.pop() if len(members) > 1 and len(first) == 1 else members[-1]
        made.append(Programme(name, tuple(members)))
    return sorted(made, key=lambda programme: not programme.is_series)
