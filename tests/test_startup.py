"""What a command or a job does not import, since it does not need it."""

import subprocess
import sys

import pytest

SCIENCE = {"torch", "matplotlib", "pandas", "scipy", "sklearn", "diffusers", "torchvision"}
DRAWING_AND_TORCH = {"torch", "matplotlib", "diffusers", "torchvision"}
PARTS_OF_SCIENCE = {"sklearn", "scipy.stats", "scipy.optimize", "scipy.linalg", "skimage.transform"}


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
            "import morphpipe.plan.checks, morphpipe.plan.paper_files",
            DRAWING_AND_TORCH | PARTS_OF_SCIENCE | {"scipy", "requests"},
            id="Snakefile",
        ),
        pytest.param(
            "from importlib import import_module\n"
            "from morphpipe.datasets.sources.registry import SOURCES\n"
            "for name in SOURCES.values():\n"
            "    import_module('morphpipe.datasets.sources.' + name.partition('.')[0])",
            DRAWING_AND_TORCH | PARTS_OF_SCIENCE | {"scipy", "requests"},
            id="sources",
        ),
        pytest.param(
            "import morphpipe.evaluation.stage, morphpipe.evaluation.distances.ranking_blocks\n"
            "import morphpipe.evaluation.distances.crops\n"
            "import morphpipe.evaluation.distances.comparison_stage",
            DRAWING_AND_TORCH | PARTS_OF_SCIENCE,
            id="measures",
        ),
        pytest.param(
            "import morphpipe.evaluation.morphology.stage", DRAWING_AND_TORCH, id="morphology"
        ),
        pytest.param(
            "import morphpipe.datasets.preparation.tables\n"
            "import morphpipe.datasets.preparation.preprocess",
            DRAWING_AND_TORCH | PARTS_OF_SCIENCE,
            id="fields",
        ),
        pytest.param(
            "import morphpipe.report.collect, morphpipe.report.site",
            DRAWING_AND_TORCH - {"matplotlib"} | PARTS_OF_SCIENCE,
            id="report",
        ),
        pytest.param(
            "import morphpipe.report.papers.tables",
            DRAWING_AND_TORCH | PARTS_OF_SCIENCE,
            id="tables of papers",
        ),
        pytest.param(
            "import morphpipe.report.papers.figures",
            DRAWING_AND_TORCH - {"matplotlib"},
            id="figures",
        ),
        # What starts a training on several nodes waits for it, and shall not take a gigabyte.
        pytest.param("import morphpipe.stages.training", DRAWING_AND_TORCH, id="start of training"),
        # Every job of a cluster reads the rules.
        pytest.param(
            "import morphpipe.plan.images, morphpipe.plan.params, morphpipe.plan.report_files",
            DRAWING_AND_TORCH,
            id="rules",
        ),
        pytest.param("import morphpipe.stages.evaluation", DRAWING_AND_TORCH, id="measures"),
        pytest.param("import morphpipe.stages.fields", DRAWING_AND_TORCH, id="jobs on fields"),
        pytest.param(
            "import morphpipe.encoders.configured",
            {"diffusers", "matplotlib", "torchvision", "torch._dynamo", "requests"},
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
