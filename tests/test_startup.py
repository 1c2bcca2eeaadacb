"""What a command or a job does not import, since it does not need it."""

import subprocess
import sys

import pytest

SCIENCE = {"torch", "matplotlib", "pandas", "scipy", "sklearn", "diffusers", "torchvision"}
DRAWING_AND_TORCH = {"torch", "matplotlib", "diffusers", "torchvision"}


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        pytest.param("import morphpipe", SCIENCE | {"importlib.metadata"}, id="library"),
        pytest.param(
            "import sys; sys.argv[1:] = ['--help']\n"
            "from morphpipe.cli import app; app(standalone_mode=False)",
            SCIENCE,
            id="help",
        ),
        pytest.param(
            "import morphpipe.config, morphpipe.config.sampling, morphpipe.generators.presets",
            {"torch", "matplotlib", "diffusers", "torchvision", "sklearn"},
            id="Snakefile",
        ),
        pytest.param(
            "import morphpipe.evaluation.stage, morphpipe.evaluation.morphology_stage",
            DRAWING_AND_TORCH,
            id="measures",
        ),
        pytest.param(
            "import morphpipe.report.collect, morphpipe.report.site",
            DRAWING_AND_TORCH - {"matplotlib"},
            id="report",
        ),
        pytest.param("import morphpipe.papers.tables", DRAWING_AND_TORCH, id="tables of papers"),
        pytest.param(
            "import morphpipe.papers.figures", DRAWING_AND_TORCH - {"matplotlib"}, id="figures"
        ),
        pytest.param(
            "import morphpipe.encoders.stage",
            {"diffusers", "matplotlib", "torchvision", "torch._dynamo"},
            id="features",
        ),
    ],
)
def test_imports_nothing_that_it_does_not_need(code, unwanted):
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert unwanted.isdisjoint(done.stdout.split())
