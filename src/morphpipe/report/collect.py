"""Collecting the inputs of a report from paths of the workflow."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from morphpipe.config import parse_configuration
from morphpipe.core.checksums import read_record
from morphpipe.core.json_files import read_json
from morphpipe.report.inputs import (
    ComparisonFiles,
    ExperimentFiles,
    MorphologyFiles,
    ReportInputs,
)

_SOFTWARE = (
    "morphpipe",
    "torch",
    "diffusers",
    "accelerate",
    "torch-fidelity",
    "scikit-learn",
    "snakemake",
)


def collect(
    configuration: dict[str, Any],
    experiments: Mapping[str, Mapping[str, Any]],
    *,
    comparisons: Mapping[str, Mapping[str, Any]] | None = None,
    weights: Sequence[str] = (),
    autoencoders: Sequence[str] = (),
    encoders: Sequence[str] = (),
    papers: Sequence[str] = (),
    benchmarks: str | None = None,
    logs: str | None = None,
) -> ReportInputs:
    """Collect the inputs of a report.

    Parameters
    ----------
    configuration
        Configuration of the run, plain values.
    experiments
        By name: paths by the attributes of `ExperimentFiles`; `quality`, `leakage` and `pairs` may
        be missing; `features` and `generated_features` are folders, of which the view `all` is
        shown, or `rgb`.
    comparisons
        By name: `tests`, a path, and `rankings`, paths by experiment.
    weights
        `weights.json` of every pretrained weight in use.
    autoencoders, encoders
        `history.csv` of what the workflow trained.
    papers
        `item.json` of every table and figure of the papers, in their order.
    benchmarks, logs
        Folders of the workflow's.
    """
    files = []
    for name, paths in experiments.items():
        features = [Path(folder) for folder in paths["features"]]
        generated = [Path(folder) for folder in paths["generated_features"]]
        # Real images may have additional views for other experiments.
        view = "all" if (generated[0] / "all.parquet").exists() else "rgb"
        files.append(
            ExperimentFiles(
                name=name,
                fields=Path(paths["fields"]),
                quarantine=Path(paths["quarantine"]),
                split=Path(paths["split"]),
                samples=tuple(map(Path, paths["samples"])),
                checkpoints=tuple(map(Path, paths["checkpoints"])),
                metrics=tuple(map(Path, paths["metrics"])),
                quality=_optional(paths.get("quality")),
                leakage=_optional(paths.get("leakage")),
                features=tuple(folder / f"{view}.parquet" for folder in features),
                generated_features=tuple(folder / f"{view}.parquet" for folder in generated),
                morphology=_morphology(paths.get("morphology")),
                pairs=_optional(paths.get("pairs")),
            )
        )
    parsed = parse_configuration(configuration)
    return ReportInputs(
        configuration=parsed,
        experiments=tuple(files),
        comparisons=tuple(
            ComparisonFiles(
                name,
                Path(paths["tests"]),
                {experiment: Path(path) for experiment, path in paths["rankings"].items()},
            )
            for name, paths in (comparisons or {}).items()
        ),
        weights={Path(path).parent.name: read_record(Path(path).parent) for path in weights},
        autoencoders={Path(path).parent.name: Path(path).parent for path in autoencoders},
        encoders={Path(path).parent.name: Path(path).parent for path in encoders},
        versions={"Python": platform.python_version()}
        | {name: _version(name) for name in _SOFTWARE},
        checksums=_recorded(Path(parsed.paths.lock)),
        papers=tuple(Path(path).parent for path in papers),
        benchmarks=_optional(benchmarks),
        logs=_optional(logs),
    )


def _morphology(paths: Mapping[str, Sequence[str]] | None) -> MorphologyFiles | None:
    if paths is None:
        return None

    def several(name: str) -> tuple[Path, ...]:
        return tuple(map(Path, paths[name]))

    return MorphologyFiles(
        metrics=Path(paths["metrics"][0]),
        differences=Path(paths["differences"][0]),
        correlations=Path(paths["correlations"][0]),
        scores=Path(paths["scores"][0]),
        real_images=several("real_images"),
        generated_images=several("generated_images"),
        real_labels=several("real_labels"),
        generated_labels=several("generated_labels"),
    )


def _optional(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


def _recorded(lock: Path) -> dict[str, str]:
    """Checksums of downloads by address; empty if the lock file is damaged."""
    try:
        return dict(read_json(lock))
    except (OSError, ValueError, TypeError):
        return {}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
