"""morphpipe: generative models of cell morphology, and how far their images can be trusted.

Raw plates in, a generative model of cell morphology trained on them, and a report on its images,
as one graph of jobs. The package is the library below the workflow; it works without Snakemake:

- `core`: files that survive kills, checksums, lineage, locks;
- `config`: settings, defaults and checks;
- `tables`: what lies on disk: field table, image archive, arrays, features, metrics;
- `imaging`, `transport`: pixels to pixels; paths, samplers and noise;
- `perturbations`: what a condition is;
- `datasets`: where fields of view come from, their preparation and splits;
- `autoencoders`: images to latents and back;
- `encoders`: images to features;
- `generators`, `training`, `sampling`: networks, the training loop, images;
- `morphology`: CellProfiler's measurements;
- `evaluation`: distances, treatment effects, probes and their uncertainty;
- `report`: findings, tables, figures and pages, of experiments and of the papers;
- `plan`, `stages`, `cli`: what a run will do, its jobs, and the command line.
"""

from morphpipe import _torchvision

_torchvision.install()


def __getattr__(name: str) -> str:
    """The version, looked up when asked for: every job imports the package, few want it."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("morphpipe")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0+source"
