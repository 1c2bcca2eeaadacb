import numpy as np
import pytest

from morphpipe.core.errors import DataError
from morphpipe.evaluation.morphology.mechanisms import nearest_mechanism, treatment_profiles


def angles(degrees):
    return np.array([[np.cos(np.radians(a)), np.sin(np.radians(a))] for a in degrees])


def test_the_same_compound_is_no_neighbour():
    # Compound x at two doses lies at 0 and 1 degree; y, of the same mechanism, at 90; and z, of
    # another one, at 20. The nearest of another compound is z for both doses of x, and for y too.
    values = angles([0, 1, 90, 20])
    compounds = ["x", "x", "y", "z"]
    mechanisms = ["m", "m", "m", "n"]
    treated = treatment_profiles(values, compounds, mechanisms, doses=[1, 10, 1, 1])
    result = nearest_mechanism(treated, treated)
    assert len(treated) == 4
    assert result.correct.tolist() == [False, False, False]
    # z has a mechanism of its own: it cannot be right, and is not asked.
    assert result.left_out == 1
    # x may choose between y and z, y between two of x and z.
    assert result.chance == pytest.approx((1 / 2 + 1 / 2 + 2 / 3) / 3)


def test_generated_treatments_are_told_by_real_ones_of_other_compounds():
    references = treatment_profiles(
        angles([0, 10, 90, 100]), ["x", "y", "u", "v"], ["m", "m", "n", "n"]
    )
    assert nearest_mechanism(references, references).accuracy == 1
    # The generated x looks like u: wrong; v like y: wrong; y and u are right.
    queries = treatment_profiles(angles([88, 12, 92, 9]), list("xyuv"), ["m", "m", "n", "n"])
    result = nearest_mechanism(queries, references)
    assert dict(zip(result.compounds, result.correct, strict=True)) == {
        "x": False, "y": True, "u": True, "v": False,
    }  # fmt: skip
    assert result.accuracy == 0.5
    assert result.chance == pytest.approx(1 / 3)


def test_the_length_of_a_profile_does_not_matter():
    values = angles([0, 10, 90, 100])
    names = list("xyuv"), ["m", "m", "n", "n"]
    plain = treatment_profiles(values, *names)
    scaled = treatment_profiles(values * [[1], [100], [3], [0.01]], *names)
    assert nearest_mechanism(scaled, plain).accuracy == 1


def test_fields_are_averaged_by_compound_dose_and_cell_type():
    values = np.array([[1.0, 0], [3, 0], [0, 5], [7, 7]])
    treated = treatment_profiles(
        values, ["x", "x", "x", "y"], ["m", "m", "m", ""], doses=["1", "1", "2", "1"]
    )
    assert treated.profiles.tolist() == [[2, 0], [0, 5]]
    two = treatment_profiles(values, ["x"] * 4, ["m"] * 4, contexts=["A", "B", "B", "B"])
    assert sorted(two.contexts) == ["A", "B"]


def test_neighbours_are_of_the_same_cell_type():
    values = angles([0, 5, 90, 80])
    treated = treatment_profiles(
        values, ["x", "y", "x", "y"], ["m"] * 4, contexts=["A", "A", "B", "B"]
    )
    result = nearest_mechanism(treated, treated)
    assert result.chance == 1
    apart = treatment_profiles(values, list("xyxy"), ["m"] * 4, contexts=list("ABCD"))
    with pytest.raises(DataError, match="no mechanism has two compounds"):
        nearest_mechanism(apart, apart)


def test_without_mechanisms_nothing_is_told():
    blank = treatment_profiles(angles([0, 1]), ["x", "y"], ["", ""])
    with pytest.raises(DataError, match="no treatment has a known mechanism"):
        nearest_mechanism(blank, blank)
