"""morphpipe: generative models of cell morphology, and how far their images can be trusted.

Raw plates in, a generative model of cell morphology trained on them, and a report on its images,
as one graph of jobs. The package is the library below the workflow; it works without Snakemake:

- `config`: settings, defaults and checks;
- `datasets`: where fields of view come from, the field table and the image archive;
- `imaging`: pixels to pixels;
- `perturbations`: what a condition is;
- `codecs`: images to latents and back;
- `encoders`: images to features;
- `generators`, `transport`, `training`: networks, paths and samplers, the training loop;
- `evaluation`: distances, treatment effects, probes and their uncertainty;
- `report`: tables, figures and the HTML page.
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
