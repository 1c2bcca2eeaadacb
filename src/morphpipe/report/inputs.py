"""Inputs of a report."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from morphpipe.config import Configuration


@dataclass(frozen=True)
class MorphologyFiles:
    """CellProfiler measurements of an experiment, and derived tables.

    Attributes
    ----------
    metrics, differences, correlations, scores
        Tables of `morphpipe.evaluation.morphology.stage`.
    real_images, generated_images
        Tables of image-level measurements, with the fields that failed.
    real_labels, generated_labels
        Label images of a few fields.
    """

    metrics: Path
    differences: Path
    correlations: Path
    scores: Path
    real_images: tuple[Path, ...]
    generated_images: tuple[Path, ...]
    real_labels: tuple[Path, ...]
    generated_labels: tuple[Path, ...]


@dataclass(frozen=True)
class ExperimentFiles:
    """The files of one experiment.

    Attributes
    ----------
    name
        Its name in the configuration.
    fields
        Table of the real fields (Parquet).
    quarantine
        Fields that were excluded: Parquet with `field_id` and `reason`.
    split
        Parquet with `field_id` and `split`.
    samples
        Archives of generated fields (`.zip`).
    checkpoints
        The folder of the last slice of every training, one per training seed.
    metrics
        Metric tables (Parquet); those in `morphpipe.report.evidence.MEASURES` have sections of
        their own.
    quality
        Table of quality control; None if not computed.
    leakage
        Table of leakage between sides of the split; None if not computed.
    features, generated_features
        Feature tables of real and of generated images, of one encoder and view, for the
        principal components; empty tuples leave the figure out.
    morphology
        None without CellProfiler measurements.
    pairs
        The closest pairs of generated and training images; None if not computed.
    """

    name: str
    fields: Path
    quarantine: Path
    split: Path
    samples: tuple[Path, ...]
    checkpoints: tuple[Path, ...]
    metrics: tuple[Path, ...]
    quality: Path | None = None
    leakage: Path | None = None
    features: tuple[Path, ...] = ()
    generated_features: tuple[Path, ...] = ()
    morphology: MorphologyFiles | None = None
    pairs: Path | None = None


@dataclass(frozen=True)
class ComparisonFiles:
    """The files of one comparison.

    Attributes
    ----------
    name
        Its name in the configuration.
    tests
        Table of `morphpipe.evaluation.distances.comparison`.
    rankings
        Table of `morphpipe.evaluation.distances.ranking` by experiment; empty without rankings.
    """

    name: str
    tests: Path
    rankings: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class ReportInputs:
    """Inputs of a report.

    Attributes
    ----------
    configuration
        Configuration of the run.
    experiments
        Files of the experiments, in the order of the report.
    comparisons
        Files of the comparisons.
    weights
        By name: `source`, `revision`, `licence`, `sha256` (checksum by file) and `note` of the
        pretrained weights that were used.
    autoencoders, encoders
        Folders of networks that the workflow trained, by name, each with a `history.csv`.
    versions
        Software by name.
    checksums
        SHA-256 of downloaded files by address, from the lock file.
    papers
        Folders of the papers' tables and figures, in the papers' order.
    benchmarks, logs
        Folders of Snakemake's benchmarks and logs; None without a workflow.
    """

    configuration: Configuration
    experiments: tuple[ExperimentFiles, ...]
    comparisons: tuple[ComparisonFiles, ...] = ()
    weights: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    autoencoders: Mapping[str, Path] = field(default_factory=dict)
    encoders: Mapping[str, Path] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)
    papers: tuple[Path, ...] = ()
    benchmarks: Path | None = None
    logs: Path | None = None
