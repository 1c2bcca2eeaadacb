from pathlib import Path

import pandas as pd
import pytest

from morphpipe.perturbations.names import NameIndex, closest, listed, normalise_compound

METADATA = Path(__file__).resolve().parents[3] / "shared" / "metadata"


def test_names_are_found_as_written_or_by_their_normal_form():
    index = NameIndex(["taxol", "cytochalasin-b"], normalise_compound)
    assert index.find("taxol") == 0
    assert index.find("Cytochalasin B") == 1
    assert index.find("cytochalasin-d") is None


def test_names_that_share_a_normal_form_are_never_mixed_up():
    index = NameIndex(["rac1", "RAC1", "kras"], str.casefold)
    assert index.find("rac1") == 0
    assert index.find("RAC1") == 1
    assert index.find("Rac1") is None
    assert index.find("KRAS") == 2


def test_what_is_said_of_names():
    assert closest("taxoll", ["taxol", "docetaxel"]) == "taxol"
    assert closest("12", ["taxol"]) is None
    assert listed(["a", "b"]) == "a, b"
    said = listed([f"n{i}" for i in range(25)])
    assert said.endswith("n19, ...")
    assert "n20" not in said


def test_every_published_name_is_found_from_the_official_one():
    if not METADATA.is_dir():
        pytest.skip(f"the published lists are not at {METADATA}")
    official = pd.read_csv(METADATA / "bbbc021_image_official.csv.gz")
    published = pd.read_csv(METADATA / "perturbation_embedding_bbbc021.csv.gz")["compound"]
    index = NameIndex(list(published), normalise_compound)
    found = {index.find(name) for name in official["Image_Metadata_Compound"].unique()}
    assert found - {None} == set(range(98))
