"""CellProfiler's measurements kept in memory instead of HDF5.

CellProfiler writes every value to an HDF5 file, in memory or on disk: some 60,000 calls for a field
with six channels, about 40 % of its time. This store returns the same values.
"""

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphpipe.morphology import adapters

adapters.install()

from cellprofiler_core.constants.measurement import (  # type: ignore[import-not-found] # noqa: E402
    R_FIRST_IMAGE_NUMBER,
    R_FIRST_OBJECT_NUMBER,
    R_SECOND_IMAGE_NUMBER,
    R_SECOND_OBJECT_NUMBER,
)
from cellprofiler_core.measurement import (  # type: ignore[import-not-found] # noqa: E402
    Measurements,
    RelationshipKey,
)

_RELATION_COLUMNS = (
    R_FIRST_IMAGE_NUMBER,
    R_FIRST_OBJECT_NUMBER,
    R_SECOND_IMAGE_NUMBER,
    R_SECOND_OBJECT_NUMBER,
)
_RELATION = np.dtype([(name, np.int32) for name in _RELATION_COLUMNS])


def _vector(values: Any) -> NDArray[Any]:
    """Copy one image set's values of a feature, since modules reuse their arrays."""
    if values is None:
        return np.zeros(0)
    if np.isscalar(values):
        values = [values]
    if all(isinstance(value, (str, bytes)) for value in values) and len(values):
        return np.array(values, object)
    return np.array(values).reshape(-1)


class Store:
    """Values by object, feature and image number, with the interface of `HDF5Dict`."""

    def __init__(self, empty: Any) -> None:
        # An `HDF5Dict` that stays empty: workspaces read a list of images from its file.
        self._empty = empty
        self.hdf5_file = empty.hdf5_file
        self._values: dict[str, dict[str, dict[int, NDArray[Any]]]] = {}
        # CellProfiler locks it around file access.
        self.lock = nullcontext()

    def __getitem__(self, key: tuple[str, str, Any]) -> Any:
        name, feature, number = key
        assert self.has_feature(name, feature), f"{name} has no feature {feature}"
        values = self._values[name][feature]
        if isinstance(number, (int, np.integer)):
            return self._get(values, number)
        return [self._get(values, one) for one in number]

    @staticmethod
    def _get(values: Mapping[int, NDArray[Any]], number: Any) -> NDArray[Any] | None:
        found = values.get(int(number))
        # HDF5 has no empty vectors: they are returned as None.
        return None if found is None or not found.size else found.copy()

    def __setitem__(self, key: tuple[Any, ...], values: Any) -> None:
        name, feature, number = key[:3]
        stored = self._values.setdefault(name, {}).setdefault(feature, {})
        if isinstance(number, (int, np.integer)):
            stored[int(number)] = _vector(values)
        else:
            for one, value in zip(number, values, strict=True):
                stored[int(one)] = _vector(value)

    def __delitem__(self, key: tuple[Any, ...]) -> None:
        name, feature, *number = key
        if not self.has_feature(name, feature):
            return
        if number:
            self._values[name][feature].pop(int(number[0]), None)
        else:
            del self._values[name][feature]

    def add_all(
        self,
        name: str,
        feature: str,
        values: Iterable[Any],
        idxs: Iterable[int] | None = None,
        data_type: Any = None,
    ) -> None:
        """Replace a feature by a vector per image number; numbered from 1 by default."""
        values = list(values)
        numbers = range(1, len(values) + 1) if idxs is None else idxs
        self._values.setdefault(name, {})[feature] = {
            int(number): _vector(value) for number, value in zip(numbers, values, strict=True)
        }

    def reorder(self, name: str, feature: str, numbers: Any) -> None:
        """Renumber the image sets of a feature: `numbers` maps old to new."""
        stored = self._values[name][feature]
        self._values[name][feature] = {int(numbers[n]): value for n, value in stored.items()}

    def get_indices(self, name: str, feature: str) -> dict[int, Any]:
        """Values of a feature by image number."""
        return self._values.get(name, {}).get(feature, {})

    def has_data(self, name: str, feature: str, number: int) -> bool:
        """Whether a feature was stored for an image set, even if empty."""
        return number in self.get_indices(name, feature)

    def has_object(self, name: str) -> bool:
        """Whether anything was stored for these objects."""
        return name in self._values

    def has_feature(self, name: str, feature: str) -> bool:
        """Whether a feature was stored for any image set."""
        return feature in self._values.get(name, {})

    def add_object(self, name: str) -> None:
        """Make room for objects."""
        self._values.setdefault(name, {})

    def add_feature(self, name: str, feature: str) -> None:
        """Make room for a feature."""
        self._values.setdefault(name, {}).setdefault(feature, {})

    def get_feature_dtype(self, name: str, feature: str) -> np.dtype[Any]:
        """A type for the values of all image sets."""
        kinds = [values.dtype for values in self._values[name][feature].values() if values.size]
        return np.result_type(*kinds) if kinds else np.dtype(int)

    def top_level_names(self) -> list[str]:
        """Names of objects, with Image and Experiment, sorted as HDF5 does."""
        return sorted(self._values)

    def second_level_names(self, name: str) -> list[str]:
        """Names of features, sorted as HDF5 does."""
        return sorted(self._values.get(name, {}))

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()

    def flush(self) -> None:
        """Nothing to flush."""

    def close(self) -> None:
        """Close the empty file."""
        self._empty.close()


class DictMeasurements(Measurements):
    """Measurements and image set of a run, in memory only.

    A subclass, since CellProfiler checks the class; only storage and object relations are
    overridden.
    """

    hdf5_dict: Any

    def __init__(self, image_set_start: int | None = None) -> None:
        super().__init__(image_set_start=image_set_start, mode="memory")
        self.hdf5_dict = Store(self.hdf5_dict)
        self._relations: dict[tuple[int, str, str, str], list[NDArray[Any]]] = {}

    def add_relate_measurement(
        self,
        module_number: int,
        relationship: str,
        object_name1: str,
        object_name2: str,
        image_numbers1: Any,
        object_numbers1: Any,
        image_numbers2: Any,
        object_numbers2: Any,
    ) -> None:
        """Store pairs of objects, such as parents and children."""
        if not len(image_numbers1):
            return
        pairs = np.zeros(len(image_numbers1), _RELATION)
        columns = (image_numbers1, object_numbers1, image_numbers2, object_numbers2)
        for name, column in zip(_RELATION_COLUMNS, columns, strict=True):
            pairs[name] = column
        key = (module_number, relationship, object_name1, object_name2)
        self._relations.setdefault(key, []).append(pairs)

    def get_relationship_groups(self) -> list[Any]:
        """The kinds of stored relations."""
        return [RelationshipKey(*key) for key in self._relations]

    def get_relationships(
        self,
        module_number: int,
        relationship: str,
        object_name1: str,
        object_name2: str,
        image_numbers: Any = None,
    ) -> Any:
        """Pairs of one kind; with `image_numbers` only those with an object in these images."""
        stored = self._relations.get((module_number, relationship, object_name1, object_name2), [])
        pairs = np.concatenate([np.zeros(0, _RELATION), *stored])
        if image_numbers is not None:
            wanted = np.atleast_1d(image_numbers)
            first = np.isin(pairs[R_FIRST_IMAGE_NUMBER], wanted)
            pairs = pairs[first | np.isin(pairs[R_SECOND_IMAGE_NUMBER], wanted)]
        return pairs.view(np.recarray)
