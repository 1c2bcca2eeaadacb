import pandas as pd
import pytest

from morphpipe.errors import DataError
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
    assert vocabulary == Vocabulary(("a", "b", "none"), ("HUVEC", "U2OS"), "none", "sirna")
    assert vocabulary.perturbation_indices(["none", "a", "a"]).tolist() == [2, 0, 0]
    assert vocabulary.cell_type_indices(["U2OS"]).tolist() == [1]


def test_text_and_back(tmp_path):
    vocabulary = Vocabulary(("a", "ü"), ("x",), None, "compound")
    (tmp_path / "v.json").write_text(vocabulary.to_json(), "utf-8")
    assert Vocabulary.load(tmp_path / "v.json") == vocabulary


@pytest.mark.parametrize("label", ["c", None, float("nan")])
def test_unknown_labels_are_named_with_the_known(label):
    with pytest.raises(DataError, match="is not known to the generator; it knows a, b"):
        Vocabulary(("a", "b"), ("x",)).perturbation_indices(["a", label, "z"])


def test_two_negative_controls_or_kinds_are_refused():
    with pytest.raises(DataError, match=r"several negative controls \(a, b\)"):
        vocabulary_of(_fields([("x", "a", "none", "negative"), ("x", "b", "none", "negative")]))
    with pytest.raises(DataError, match="kinds compound, sirna"):
        vocabulary_of(_fields([("x", "a", "sirna", "none"), ("x", "b", "compound", "none")]))
