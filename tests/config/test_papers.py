import copy

import pytest
import yaml

from morphpipe.config import parse_configuration
from morphpipe.config.papers import PaperNames
from morphpipe.core.errors import ConfigError

MINIMAL = yaml.safe_load(
    """
    datasets:
      screen: {source: simulated}
    splits:
      half: {dataset: screen}
      other: {dataset: screen}
    autoencoders:
      small: {origin: trained, split: half}
    encoders:
      resnet: {kind: resnet18, split: half}
    experiments:
      one: &one
        split: half
        autoencoder: small
        generator: {kind: sit}
        evaluation: {encoders: [resnet]}
      two: {<<: *one, trained_by: one}
      three: *one
    comparisons:
      pair: {model: one, baseline: three}
    papers:
      morphgen: {model: one, cell_types: two, encoders: {distances: resnet}}
      morphodiff: {rxrx1_all: pair}
    """
)


def changed(place, value):
    """The configuration with one key set, by its dotted place."""
    content = copy.deepcopy(MINIMAL)
    here = content
    *above, last = place.split(".")
    for key in above:
        here = here[key]
    here[last] = value
    return content


def test_roles_name_experiments_and_comparisons():
    papers = parse_configuration(MINIMAL).papers
    assert papers.morphgen.roles == {"model": "one", "cell_types": "two"}
    assert papers.morphodiff.roles == {"rxrx1_all": "pair"}


def test_roles_of_what_is_left_out_are_empty():
    papers = parse_configuration(MINIMAL | {"only": ["one"]}).papers
    assert papers.morphgen.roles == {"model": "one"}
    assert papers.morphodiff.roles == {}
    assert papers.morphgen.encoders.distances == "resnet"


def test_labels_without_a_stand_in():
    assert PaperNames().perturbation("1138") == "1138"
    names = PaperNames(perturbations={"1138": "control"})
    assert (names.perturbation("1138"), names.perturbation("1137")) == ("control", None)
    assert names.cell_type("HUVEC") == "HUVEC"


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("papers.morphgen.model", "nine", r"papers\.morphgen\.model names 'nine'.*experiments"),
        ("papers.morphodiff.rxrx1_all", "one", r"papers\.morphodiff\.rxrx1_all names 'one'"),
        ("papers.morphgen.encoders.distances", "x", r"papers\.morphgen\.encoders\.distances"),
        ("experiments.two.trained_by", "nine", r"trained_by names 'nine', which is not in"),
        ("experiments.one.trained_by", "three", r"itself trained by 'three': use that one"),
        ("experiments.two.split", "other", r"uses the split 'other' and 'one' uses 'half'"),
        ("experiments.two.training", {"steps": 8}, r"`training` differs from that of 'one'"),
    ],
)
def test_mistakes_name_their_place(place, value, message):
    with pytest.raises(ConfigError, match=message):
        parse_configuration(changed(place, value))
