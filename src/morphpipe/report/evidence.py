"""Reading the files of an experiment for the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphpipe.config import Configuration
from morphpipe.config.datasets import Dataset
from morphpipe.config.experiments import Experiment, Measure
from morphpipe.config.splits import Split
from morphpipe.core.checksums import check_recorded, read_checked_json
from morphpipe.core.errors import ConfigError, DataError
from morphpipe.core.storage import read_parquet
from morphpipe.datasets.preparation.quality import QUALITY_KEYS
from morphpipe.datasets.simulated import CELL_TYPES, PERTURBATIONS, true_effect
from morphpipe.datasets.splits.leakage import LEAKAGE_COLUMNS, stop_at_leaks
from morphpipe.evaluation.core.summary import read_metrics
from morphpipe.report.inputs import ExperimentFiles
from morphpipe.tables.archive import read_fields
from morphpipe.tables.checkpoint_state import STATE
from morphpipe.tables.feature_table import Extraction, read_features
from morphpipe.tables.fields import FieldTable
from morphpipe.tables.schemas import PAIR_SCHEMA

# Metric tables with sections of their own; names of metrics are shared with other tables.
MEASURES = get_args(Measure)


@dataclass(frozen=True)
class TrainingRecord:
    """One finished training.

    Attributes
    ----------
    seed
        Training seed.
    step
        Number of optimizer steps.
    log
        Columns of `morphpipe.training.log.COLUMNS`.
    sha256
        Checksums by file.
    card
        Text of the model card.
    parameters
        Number of trained parameters; None if unknown.
    """

    seed: int
    step: int
    log: pd.DataFrame
    sha256: Mapping[str, str]
    card: str
    parameters: int | None = None


@dataclass(frozen=True)
class FeaturePoints:
    """Features of held-out real and of generated images, with their labels.

    Attributes
    ----------
    keys
        Columns cell_type, perturbation and origin.
    features
        float32 [n, d].
    extraction
        How they were computed.
    """

    keys: pd.DataFrame
    features: NDArray[np.float32]
    extraction: Extraction


@dataclass(frozen=True)
class Evidence:
    """Data of one experiment for the report.

    Attributes
    ----------
    name, experiment, split_settings, dataset_name, dataset
        From the configuration.
    real
        All real fields.
    split
        Columns field_id and split; a field can be on several sides where wells are too few.
    generated
        Tables of the generated fields, one per archive.
    quarantine
        Columns field_id and reason.
    quality
        See `morphpipe.datasets.preparation.quality`; None where it was not computed.
    leakage
        See `morphpipe.datasets.splits.leakage`; None where it was not computed.
    trainings
        One per training seed.
    metrics
        All rows of the tables of distances, effects and probes, see
        `morphpipe.evaluation.core.summary.read_metrics`.
    points
        For the principal components; None where no features were given.
    measures
        Rows of the other metric tables, by the name of their file (`MEASURES`).
    pairs
        The images closest to a training image, see `morphpipe.evaluation.coverage.memorisation`;
        None where they were not computed.
    """

    name: str
    experiment: Experiment
    split_settings: Split
    dataset_name: str
    dataset: Dataset
    real: FieldTable
    split: pd.DataFrame
    generated: tuple[FieldTable, ...]
    quarantine: pd.DataFrame
    quality: pd.DataFrame | None
    leakage: pd.DataFrame | None
    trainings: tuple[TrainingRecord, ...]
    metrics: pd.DataFrame
    points: FeaturePoints | None
    measures: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    pairs: pd.DataFrame | None = None

    @property
    def is_simulated(self) -> bool:
        """Whether the true effects are known."""
        return self.dataset.has_true_effects

    @cached_property
    def generated_keys(self) -> pd.DataFrame:
        """The generated fields' columns, their archive's number (`archive`) and `row` in it."""
        parts = [
            table.keys().assign(archive=i, row=np.arange(len(table)))
            for i, table in enumerate(self.generated)
        ]
        return pd.concat(parts, ignore_index=True)

    @cached_property
    def test_ids(self) -> frozenset[str]:
        """Ids of the held-out real fields."""
        return frozenset(self.split.loc[self.split["split"] == "test", "field_id"])

    @cached_property
    def test_fields(self) -> FieldTable:
        """The held-out real fields."""
        return self.real.select(self.test_ids)

    @cached_property
    def cell_types(self) -> list[str]:
        """Generated cell types: in the configured order, then by name."""
        configured = self.experiment.sampling.cell_types or self.dataset.all_cell_types
        return _ordered(self.generated_keys["cell_type"], configured)

    @cached_property
    def perturbations(self) -> list[str]:
        """Generated perturbations: in the configured order, then negative controls, then names."""
        named = getattr(self.dataset, "perturbations", None)
        configured = self.experiment.sampling.perturbations
        # RxRx1's subsets have a name instead of a list.
        if configured is None and isinstance(named, list):
            configured = named
        keys = self.generated_keys
        controls = sorted(set(keys.loc[keys["control"] == "negative", "perturbation"]))
        return _ordered(keys["perturbation"], [*(configured or []), *controls])

    def true_effects(self, cell_type: str) -> dict[str, float]:
        """True sizes of the effects in a cell type, or their mean for `all`; empty if unknown."""
        names = [p for p in self.perturbations if p in PERTURBATIONS]
        types = [c for c in self.cell_types if c in CELL_TYPES]
        if not self.is_simulated or not types or (cell_type != "all" and cell_type not in types):
            return {}
        chosen = types if cell_type == "all" else [cell_type]
        return {p: float(np.mean([true_effect(p, c) for c in chosen])) for p in names}

    @cached_property
    def negative_controls(self) -> frozenset[str]:
        """Perturbations that are negative controls, of the real fields."""
        keys = self.real.keys()
        return frozenset(keys.loc[keys["control"] == "negative", "perturbation"])


def _ordered(found: pd.Series, configured: Sequence[Any] | None) -> list[str]:
    """Unique values, those of the configuration first."""
    present = set(found)
    first = [value for value in dict.fromkeys(configured or []) if value in present]
    return first + sorted(present - set(first))


def _read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read a table that must have these columns."""
    table = read_parquet(path, own=True).to_pandas()
    missing = [column for column in columns if column not in table]
    if missing:
        raise DataError(f"{path} lacks the column {missing[0]}: rerun the workflow.")
    return table


def _read_optional(path: Path | None, columns: list[str]) -> pd.DataFrame | None:
    return None if path is None else _read_table(path, columns)


def read_training(folder: Path) -> TrainingRecord:
    """Read the training record of a checkpoint, without its weights.

    Raises
    ------
    DataError
        If `state.json` or `log.csv` is missing or damaged.
    """
    try:
        state = read_checked_json(folder / STATE)
        for name in ("log.csv", "README.md"):
            check_recorded(folder / name, STATE)
        log = pd.read_csv(folder / "log.csv")
        seed = int(state["settings"]["seed"])
        step, sums = int(state["step"]), dict(state.get("sha256", {}))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"The checkpoint {folder} cannot be described ({error}): rerun the workflow."
        ) from None
    card = folder / "README.md"
    text = card.read_text("utf-8") if card.exists() else ""
    return TrainingRecord(seed, step, log, sums, text, state.get("parameters"))


def _read_points(
    files: ExperimentFiles, real: FieldTable, test: set[str], generated: list[FieldTable]
) -> FeaturePoints | None:
    """Features of held-out and generated images without augmentation, with their fields."""
    if not files.features or not files.generated_features:
        return None
    keys = pd.concat([table.keys() for table in [real, *generated]], ignore_index=True)
    keys = keys.set_index("field_id")[["cell_type", "perturbation", "origin"]]
    parts, rows = [], []
    extraction: Extraction | None = None
    for paths, wanted in (
        (files.features, test),
        (files.generated_features, {i for table in generated for i in table.field_ids}),
    ):
        table = read_features(paths)
        made = table.extraction
        if made.view == "rgb":  # the same rendering, whatever channels it was made of
            made = replace(made, channels=())
        if extraction is not None and made != extraction:
            raise DataError(
                f"Features of real images were computed with {extraction}, those of generated "
                f"images with {made}: they are not comparable."
            )
        extraction = made
        ids = np.array(table.field_ids, dtype=object)
        mask = (table.transforms == 0) & np.isin(ids, list(wanted))
        parts.append(table.features[mask])
        rows.append(keys.loc[ids[mask]])
    assert extraction is not None
    return FeaturePoints(pd.concat(rows).reset_index(), np.concatenate(parts), extraction)


def read_evidence(files: ExperimentFiles, configuration: Configuration) -> Evidence:
    """Read the files of one experiment.

    Raises
    ------
    ConfigError
        If the configuration has no such experiment.
    DataError
        If there are no generated fields, or a file is invalid.
    """
    if files.name not in configuration.experiments:
        raise ConfigError(
            f"The configuration has no experiment {files.name!r}; it has "
            f"{', '.join(configuration.experiments) or 'none'}."
        )
    if not files.samples or not files.metrics:
        raise DataError(
            f"The report on {files.name} needs archives of generated fields and metric tables: "
            "run the workflow first."
        )
    experiment = configuration.experiments[files.name]
    split_settings = configuration.splits[experiment.split]
    real = read_fields(files.fields)
    split = _read_table(files.split, ["field_id", "split"])[["field_id", "split"]]
    generated = [read_fields(path) for path in files.samples]
    test = set(split.loc[split["split"] == "test", "field_id"])
    leakage = _read_optional(files.leakage, LEAKAGE_COLUMNS)
    if leakage is not None and not split["field_id"].duplicated().any():
        # The split job does not rerun if only `duplicates` has changed.
        stop_at_leaks(leakage, split_settings)
    apart = [path for path in files.metrics if path.stem in MEASURES]
    metrics = read_metrics([path for path in files.metrics if path not in apart])
    return Evidence(
        name=files.name,
        experiment=experiment,
        split_settings=split_settings,
        dataset_name=split_settings.dataset,
        dataset=configuration.datasets[split_settings.dataset],
        real=real,
        split=split,
        generated=tuple(generated),
        quarantine=_read_table(files.quarantine, ["field_id", "reason"])[["field_id", "reason"]],
        quality=_read_optional(files.quality, list(QUALITY_KEYS)),
        leakage=leakage,
        trainings=tuple(
            sorted((read_training(f) for f in files.checkpoints), key=lambda t: t.seed)
        ),
        metrics=metrics[metrics["experiment"] == files.name].reset_index(drop=True),
        points=_read_points(files, real, test, generated),
        measures={path.stem: read_metrics([path]) for path in apart},
        pairs=_read_optional(files.pairs, PAIR_SCHEMA.names),
    )
