import pandas as pd
import pytest

from morphpipe.core.errors import DataError
from morphpipe.perturbations.vocabulary import Vocabulary, vocabulary_of


def _fields(rows):
    return pd.DataFrame(rows, columns=["cell_type", "perturbation", "perturbation_kind", "control"])


def test_labels_are_sorted_and_counted_once():
    vocabulary = vocabulary_of(
        _fields(
            [
                ("U2OS", "b", "sirna", "none"),
                ("HUVEC", "a", "sirna", "positive"),
                ("U2OS", "none", "none", "negative"),
                ("U2OS", "b", "sirna", "none"),
            ]
        )
    )
    assert vocabulary == Vocabulary(
        ("a", "b", "none"), ("HUVEC", "U2OS"), ("sirna", "sirna", "none"), ("none",)
    )
    assert vocabulary.perturbation_indices(["none", "a", "a"]).tolist() == [2, 0, 0]
    assert vocabulary.cell_type_indices(["U2OS"]).tolist() == [1]


def test_text_and_back(tmp_path):
    vocabulary = Vocabulary(("a", "ü"), ("x",), ("orf", "compound"), ("a",))
    (tmp_path / "v.json").write_text(vocabulary.to_json(), "utf-8")
    assert Vocabulary.load(tmp_path / "v.json") == vocabulary


@pytest.mark.parametrize("label", ["c", None, float("nan")])
def test_unknown_labels_are_named_with_the_known(label):
    with pytest.raises(DataError, match="is unknown to the generator; it knows a, b"):
        Vocabulary(("a", "b"), ("x",), ("orf", "orf")).perturbation_indices(["a", label, "z"])


def test_several_controls_and_kinds_stand_side_by_side():
    vocabulary = vocabulary_of(
        _fields(
            [
                ("x", "EMPTY", "none", "negative"),
                ("x", "DMSO", "none", "negative"),
                ("x", "taxol", "compound", "none"),
                ("x", "RAB30", "crispr", "none"),
            ]
        )
    )
    assert vocabulary.negative_controls == ("DMSO", "EMPTY")
    assert dict(zip(vocabulary.perturbations, vocabulary.kinds, strict=True)) == {
        "DMSO": "none", "EMPTY": "none", "RAB30": "crispr", "taxol": "compound",
    }  # fmt: skip


def test_one_name_of_two_kinds_is_refused():
    with pytest.raises(DataError, match="'RAB30' has the kinds crispr and orf"):
        vocabulary_of(_fields([("x", "RAB30", "orf", "none"), ("x", "RAB30", "crispr", "none")]))
