import copy
from pathlib import Path

import pytest
import yaml

from morphpipe.config import parse_configuration, read_configuration
from morphpipe.config.configuration import Paths
from morphpipe.config.yaml_files import read_yaml
from morphpipe.core.errors import ConfigError

MINIMAL = yaml.safe_load(
    """
    licences: {accept: [MIT]}
    weights:
      vae: {source: "file:w", files: [a], licence: MIT}
    datasets:
      screen: {source: simulated}
      real: {source: rxrx1}
    splits:
      half: {dataset: screen}
    autoencoders:
      small: {origin: trained, split: half}
      large: {origin: pretrained, weights: vae}
    encoders:
      resnet: {kind: resnet18, split: half}
      inception: {kind: inception, weights: vae}
    experiments:
      one:
        split: half
        autoencoder: small
        generator: {kind: sit}
        evaluation: {encoders: [resnet]}
    """
)


# The reference lists keys and is no configuration.
SHIPPED = sorted(
    path
    for path in (Path(__file__).resolve().parents[2] / "config").glob("*.yaml")
    if path.name != "reference.yaml"
)


def _changed(place, value):
    """The configuration with one key set, by its dotted place."""
    content = copy.deepcopy(MINIMAL)
    here = content
    *above, last = place.split(".")
    for key in above:
        here = here.setdefault(key, {})
    here[last] = value
    return content


def test_defaults_are_the_papers_but_for_sampling():
    configuration = parse_configuration(MINIMAL)
    experiment = configuration.experiments["one"]
    # MorphGen, appendix B and section 3
    assert experiment.generator.architecture == "SiT-XL/2"
    assert (experiment.sampler, experiment.sampling_steps) == ("adams2", 12)  # docs/sampling.md
    assert experiment.training.learning_rate == 1e-4
    assert configuration.weights_in_use() == []


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        # unknown keys, with those that are known
        ("datasts", {}, r"datasts: is not a known key; allowed: title, only, paths, .*datasets"),
        ("datasets.screen.wells", 3, r"datasets\.screen\.wells: is not a known key; .*replicates"),
        ("paths.out", "x", r"paths\.out: is not a known key; allowed: results, cache, scratch"),
        (
            "experiments.one.training.stepz",
            3,
            r"experiments\.one\.training\.stepz: is not a known key; allowed: seeds, steps",
        ),
        (
            "experiments.one.generator.alignment",
            {"encoder": "resnet", "depth": 2},
            r"generator\.alignment\.depth: is not a known key; allowed: encoder, weight",
        ),
        # wrong types and values
        ("datasets.screen.plates", "two", r"datasets\.screen\.plates: .*integer.*\(found 'two'\)"),
        ("datasets.screen.plates", 0, r"datasets\.screen\.plates: .*greater than 0.*\(found 0\)"),
        ("datasets.screen.source", "jump", r"datasets\.screen: .*'jump'.*'simulated', 'rxrx1'"),
        ("datasets.real.cell_types", ["HeLa"], r"real\.cell_types\.0: .*'HUVEC'.*\(found 'HeLa'\)"),
        ("datasets.real.perturbations", [1137], r"perturbations\.0: .*string \(found 1137\)"),
        (
            "experiments.one.training.precision",
            "fp8",
            r"precision: .*'auto', 'bf16' or 'fp32'.*'fp8'",
        ),
        ("experiments.one.training.ema_decay", 1.0, r"ema_decay: .*less than 1 \(found 1\.0\)"),
        ("experiments.one.training.seeds.0", 0, r"training\.seeds: .*list"),
        ("experiments.a b", MINIMAL["experiments"]["one"], r"a b"),
        ("weights.vae.source", "ftp://x", r"weights\.vae\.source: .*pattern.*'ftp://x'"),
        ("experiments.one.generator.architecture", "SiT-Z/2", r"'SiT-Z/2'; allowed: SiT-XL/2"),
        ("experiments.one.generator", {"kind": "unet", "architecture": "SD-9"}, "'SD-9'; allowed"),
        (
            "experiments.one.generator",
            {"kind": "gan"},
            "generator: .*'gan'.*'sit', 'flow_unet', 'cellflux', 'unet'",
        ),
        ("experiments.one.sampling.sampler", "ddpm", "'ddpm', but a flow is sampled by euler-mar"),
        (
            "experiments.one.sampling",
            {"shift": 2.0},
            r"sampling: .*shift is 2, but the grid 'uniform' has none",
        ),
        (
            "experiments.one.sampling",
            {"sampler": "euler-maruyama", "grid": "edm"},
            r"sampling\.grid is 'edm', but the sampler euler-maruyama has the times of REPA's",
        ),
        (
            "experiments.one.sampling",
            {"sampler": "adams2", "last_correction": True},
            r"sampling\.last_correction is true, but the sampler adams2",
        ),
        (
            "experiments.one.sampling",
            {"guidance": {"scale": 2.0, "guide": 7}},
            r"sampling\.guidance\.guide is 7.*of the 8 slices.* 0 to 6 can guide",
        ),
        (
            "experiments.one",
            MINIMAL["experiments"]["one"]
            | {
                "training": {"slices": 1},
                "sampling": {"guidance": {"scale": 2.0, "guide": 0}},
            },
            r"sampling\.guidance\.guide is 0.*none can guide",
        ),
        (
            "experiments.one.sampling",
            {"guidance": {"guide": 1}},
            r"sampling\.guidance: .*guide is 1, but scale is 1",
        ),
        (
            "experiments.one.sampling",
            {"guidance": {"scale": 2.0, "low": 0.5, "high": 0.2}},
            r"guidance: .*low \(0\.5\) is above high \(0\.2\)",
        ),
        ("only", ["two"], r"only names 'two'.*declared: one"),
        # names that nobody declared
        (
            "experiments.one.generator",
            {"kind": "sit", "condition": "c"},
            r"one\.generator\.condition names 'c'.*`conditions`",
        ),
        (
            "experiments.one.generator",
            {"kind": "unet", "weights": "w"},
            r"one\.generator\.weights names 'w'.*declared: vae",
        ),
        ("splits.half.dataset", "scren", r"splits\.half\.dataset names 'scren'.*screen, real"),
        (
            "autoencoders.large.weights",
            "v",
            r"autoencoders\.large\.weights names 'v'.*declared: vae",
        ),
        ("autoencoders.small.split", "s", r"autoencoders\.small\.split names 's'.*declared: half"),
        ("encoders.resnet.split", "s", r"encoders\.resnet\.split names 's'"),
        ("experiments.one.split", "s", r"experiments\.one\.split names 's'"),
        ("experiments.one.autoencoder", "c", r"one\.autoencoder names 'c'.*declared: small, large"),
        ("experiments.one.evaluation.encoders", ["e"], r"evaluation\.encoders names 'e'"),
        (
            "experiments.one.generator.alignment",
            {"encoder": "e"},
            r"one\.generator\.alignment\.encoder names 'e'.*declared: resnet, inception",
        ),
        # parts that do not fit each other
        (
            "experiments.one.image_mode",
            "rgb",
            r"image_mode is 'rgb', but autoencoders.small is trained",
        ),
        ("experiments.one.training.slices", 7, r"one\.training: steps \(400000\) is no multiple"),
        ("experiments.one.training.accumulation", 3, r"batch_size \(128\) is no multiple of accum"),
        (
            "experiments.one.training.devices",
            3,
            r"128\) is no multiple of .* devices \(3\) times no",
        ),
        ("experiments.one.training.nodes", 3, r"128\) is no multiple of .* times nodes \(3\)"),
        (
            "experiments.one.generator.alignment",
            {"encoder": "inception"},
            "Inception has no tokens",
        ),
        (
            "paths.results",
            "a{b}",
            r"paths\.results: .*contains a brace, which Snakemake reads",
        ),
        ("paths.cache", "~nobody-of-that-name/x", r"paths\.cache: .*no home folder ~nobody-of-th"),
        ("paths.results", "a\nb", r"paths\.results: .*a non-printable character"),
        (
            "experiments.one.evaluation.perturbation_sets",
            {"all": ["a"]},
            r"perturbation_sets: .*no set can be called 'all'",
        ),
        ("experiments.one.sampling.one_set", True, r"has no condition of kind constant"),
        (
            "experiments.one.generator.alignment",
            {"encoder": "resnet", "block": 29},
            r"alignment\.block is 29, but SiT-XL/2 has 28 blocks",
        ),
        ("splits.half.fractions", {"train": 0.5, "tset": 0.5}, r"\['tset'\]; allowed: train, enc"),
        ("splits.half.fractions", {"train": 0.5, "test": 0.4}, r"splits\.half: .*sum to 1"),
        (
            "splits.half.fractions",
            {"train": 0.5, "test": 0.5},
            r"encoders\.resnet\.side needs the side 'encoder', but splits\.half\.fractions only",
        ),
        (
            "splits.half.fractions",
            {"train": 0.5, "encoder": 0.5},
            r"experiments\.one\.split needs the side 'test'",
        ),
        # licences
        ("experiments.one.autoencoder", "large", None),
    ],
)
def test_mistakes_name_key_place_and_what_is_allowed(place, value, message):
    content = _changed(place, value)
    if message is None:
        parse_configuration(content)
        content["licences"]["accept"] = ["CC0"]
        message = r"(?s)weights\.vae.*MIT|MIT.*weights\.vae"
    with pytest.raises(ConfigError, match=message) as caught:
        parse_configuration(content, "config/x.yaml")
    assert "config/x.yaml cannot be used" in str(caught.value)


def test_all_mistakes_are_told_at_once():
    content = _changed("datasets.screen.plates", 0)
    content["paths"] = {"out": "x"}
    with pytest.raises(ConfigError, match=r"(?s)paths\.out.*datasets\.screen\.plates"):
        parse_configuration(content)


def test_licence_of_the_data_has_to_be_accepted():
    content = _changed("splits.half.dataset", "real")
    with pytest.raises(ConfigError, match=r"CC BY-NC-SA 4\.0"):
        parse_configuration(content)
    content["licences"]["accept"].append("CC BY-NC-SA 4.0")
    parse_configuration(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not valid YAML"),
        ("[]", "a mapping of keys"),
        ("", "a mapping of keys"),
        ("a: 1\nb: {c: 1, d: 2,\n  c: 3}\n", r"duplicate key 'c' in lines 2 and 3"),
        ("a: 1\n\na: 2\n", r"duplicate key 'a' in lines 1 and 3"),
        ("__use_yte__: true\n", r"with which Snakemake runs expressions"),
        ("[" * 5000, "nested too deeply|not valid YAML"),
    ],
)
def test_files_that_hold_no_configuration(tmp_path, text, message):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_configuration(tmp_path / "c.yaml")


def test_what_is_merged_in_may_be_overridden(tmp_path):
    (tmp_path / "c.yaml").write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\nc: {<<: *a}\n")
    assert read_yaml(tmp_path / "c.yaml")["b"] == {"x": 3, "y": 2}


def test_paths_are_written_as_they_are_meant(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    paths = Paths(results="~/results/", cache="./cache//x", scratch="a b", staging="$TMPDIR")
    assert (paths.results, paths.cache) == ("/home/me/results", "cache/x")
    assert (paths.scratch, paths.staging) == ("a b", "$TMPDIR")


def test_missing_file(tmp_path):
    with pytest.raises(ConfigError, match=r"no configuration file .*c\.yaml"):
        read_configuration(tmp_path / "c.yaml")


# Those that config.yaml names; a person accepts them.
LICENCES = [
    "CC BY-NC-SA 4.0",
    "MIT",
    "OpenPhenom non-commercial",
    "Apache-2.0",
    "CreativeML OpenRAIL-M",
    "AstraZeneca / Broad Bioimage Benchmark Collection terms",
    "CC0 1.0",
]


@pytest.mark.parametrize("path", SHIPPED, ids=[path.name for path in SHIPPED])
def test_what_is_shipped_is_valid_once_licences_are_accepted(path):
    content = yaml.safe_load(path.read_text("utf-8"))
    content["licences"] = {"accept": LICENCES}
    assert parse_configuration(content, path.name).experiments or path.name == "autoencoder.yaml"
