"""The listing of what a configuration needs from outside, against what the workflow would fetch."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from morphpipe.config import parse_configuration, read_configuration
from morphpipe.plan.downloads import list_downloads

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def papers():
    """An experiment on each public dataset, with pretrained weights of every kind of address."""
    content = yaml.safe_load((REPOSITORY / "config/config.yaml").read_text())
    content["only"] = [
        "morphgen",
        "morphodiff-rxrx1-single",
        "morphodiff-bbbc021-14",
        "morphodiff-rohban-5",
    ]
    content["datasets"]["rxrx1-huvec-single"] |= {
        "fetch": "selected",
        "genes": "https://example.org/genes.csv",
    }
    accepted = [w["licence"] for w in content["weights"].values()]
    bbbc021 = "AstraZeneca / Broad Bioimage Benchmark Collection terms"
    content["licences"] = {"accept": [*accepted, "CC BY-NC-SA 4.0", "CC0 1.0", bbbc021]}
    return content


def test_the_workflow_fetches_what_is_listed(papers, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(papers))
    # A pipeline is named by its path from the working directory.
    (tmp_path / "workflow").symlink_to(REPOSITORY / "workflow")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    done = subprocess.run(
        [*command, "--configfile", str(config), "-n", "downloads"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    made = re.findall(r"Missing output files: ([^;\n]+)", done.stdout + done.stderr)
    outputs = {path for line in made for path in line.split(", ")}
    listed = {d.path for d in list_downloads(parse_configuration(papers))}
    records = {path for path in outputs if path.endswith("weights.json")}
    assert {f"{p}.json" for p in listed if "/datasets/" in p} == outputs - records - {
        "results/morphology/environment.json"
    }
    folders = {"/".join(p.split("/")[:3]) for p in listed if p.startswith("cache/weights/")}
    assert folders == {str(Path(path).parent) for path in records}


def test_addresses_licences_and_checksums(papers, tmp_path):
    papers = papers | {"paths": {"lock": str(tmp_path / "lock.json")}}
    url = "https://storage.googleapis.com/rxrx/rxrx1/rxrx1-metadata.zip"
    (tmp_path / "lock.json").write_text(f'{{"{url}": "{"0" * 64}"}}')
    found = {d.path: d for d in list_downloads(parse_configuration(papers))}
    vae = found["cache/weights/sd-vae-ft-mse/config.json"]
    revision = papers["weights"]["sd-vae-ft-mse"]["revision"]
    assert vae.source.endswith(f"/stabilityai/sd-vae-ft-mse/resolve/{revision}/config.json")
    assert (vae.licence, vae.sha256, vae.note) == ("MIT", None, "")
    network = found["cache/weights/sd-vae-ft-mse/diffusion_pytorch_model.safetensors"]
    assert network.sha256 == papers["weights"]["sd-vae-ft-mse"]["sha256"][Path(network.path).name]
    metadata = found["cache/datasets/rxrx1/rxrx1-metadata.zip"]
    assert (metadata.source, metadata.sha256) == (url, "0" * 64)
    assert found["cache/datasets/rxrx1/rxrx1-images.zip"].size == 47_000_000_000
    # A selection out of the archive has no size and no address of its own.
    some = found["cache/datasets/rxrx1-huvec-single/rxrx1-images.zip"]
    assert some.size is None
    assert "small parts" in some.note
    # MorphoDiff's table of wells is not under the licence of the images.
    assert found["cache/datasets/rohban-5/annotation.csv"].licence is None


def test_weights_of_no_revision_are_said_to_be_the_newest(papers):
    weights = papers["weights"] | {
        "openphenom": papers["weights"]["openphenom"] | {"revision": None}
    }
    found = {d.path: d for d in list_downloads(parse_configuration(papers | {"weights": weights}))}
    assert found["cache/weights/openphenom/model.safetensors"].note.startswith("no revision")


def test_what_lies_on_a_disk_is_listed_only_where_it_is_missing(papers, tmp_path):
    (tmp_path / "model.safetensors").touch()
    weights = papers["weights"] | {
        "openphenom": papers["weights"]["openphenom"] | {"source": f"file:{tmp_path}"},
        "inception": papers["weights"]["inception"] | {"source": f"file:{tmp_path}"},
    }
    found = list_downloads(parse_configuration(papers | {"weights": weights}))
    names = {d.what for d in found}
    assert "weights.openphenom" not in names
    assert "weights.inception" in names


def test_simulated_cells_need_nothing():
    found = list_downloads(read_configuration(REPOSITORY / "tests/workflow/tiny.yaml"))
    assert found == []
