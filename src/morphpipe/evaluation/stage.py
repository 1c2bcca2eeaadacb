"""The metric tables of an experiment, from feature and field tables on the disk."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from morphpipe.config.experiments import Evaluation
from morphpipe.core.errors import DataError
from morphpipe.datasets.simulated import true_effect
from morphpipe.datasets.simulated.programmes import programmes
from morphpipe.datasets.splits.table import fields_on, read_split
from morphpipe.evaluation.core.cell_counts import cell_count_rows, read_counts
from morphpipe.evaluation.core.feature_set import FeatureSet, check_comparable, joined
from morphpipe.evaluation.core.load import load_feature_set
from morphpipe.evaluation.core.scopes import of_generated_conditions
from morphpipe.evaluation.coverage.variance import VarianceSettings, variance_rows
from morphpipe.evaluation.distances.cross_perturbation import (
    CrossSettings,
    cross_perturbation_rows,
    most_frequent,
)
from morphpipe.evaluation.distances.rows import DistanceSettings, distance_rows
from morphpipe.evaluation.effects.rows import EffectSettings, treatment_effect_rows
from morphpipe.tables.feature_table import read_extraction

# Measures that need scikit-learn, whose import takes a second, import their modules themselves.

Rows = list[dict[str, Any]]

# Perturbations that are compared with one another where no set of them is configured.
_MOST_FREQUENT = 10


def _every(view: str) -> bool:
    return True


def _whole(view: str) -> bool:
    """Whether a view is one of whole images; the others are single channels."""
    return view in {"all", "rgb"}


def _views(folder: str | Path) -> list[str]:
    """Views with a feature table: whole images first, then channels in the manifest's order."""
    tables = sorted(Path(folder).glob("*.parquet"))
    if not tables:
        raise DataError(f"There is no feature table in the folder {folder}: make them first.")
    found = {path.stem for path in tables}
    order = ["all", "rgb", *read_extraction(tables[0]).channels]
    return [view for view in order if view in found]


def by_encoder(folders: Iterable[str | Path], encoders: Sequence[str]) -> dict[str, list[str]]:
    """Sort folders of feature tables by the encoder that made them, as the tables themselves say.

    Parameters
    ----------
    folders
        Of `<view>.parquet`.
    encoders
        Those that are wanted, in this order; folders of others are left out.

    Raises
    ------
    DataError
        When a folder has no feature table, or an encoder no folder.
    """
    found: dict[str, list[str]] = {encoder: [] for encoder in encoders}
    for folder in folders:
        made_by = read_extraction(Path(folder) / f"{_views(folder)[0]}.parquet").extractor
        found.setdefault(made_by, []).append(str(folder))
    for encoder in encoders:
        if not found[encoder]:
            raise DataError(
                f"None of the folders has features of the encoder {encoder!r}, which the "
                "experiment's evaluation names: make them, and name their folder as well."
            )
    return {encoder: found[encoder] for encoder in encoders}


@dataclass(frozen=True)
class EvaluationInputs:
    """What the metric tables of an experiment are made of.

    Attributes
    ----------
    fields, split, samples
        Field table, split table and archives of generated images.
    experiment, dataset, generator
        Names for the table.
    source
        Where the dataset comes from: of a `simulated` one the true effects are known.
    evaluation
        What the measure reads of the experiment's `evaluation`, see `Evaluation.read_by`.
    real, generated
        Folders of feature tables by encoder.
    counts
        Tables of cell counts, of real and of generated fields: for ``matched`` alone.
    """

    fields: str
    split: str
    samples: Sequence[str]
    experiment: str
    dataset: str
    generator: str
    source: str
    evaluation: Mapping[str, Any]
    real: Mapping[str, Sequence[str]]
    generated: Mapping[str, Sequence[str]]
    counts: Sequence[str] = ()

    @property
    def settings(self) -> Evaluation:
        """The experiment's `evaluation`."""
        return Evaluation.model_validate(self.evaluation)

    @property
    def context(self) -> dict[str, str]:
        """Columns that all rows share."""
        return {
            "experiment": self.experiment,
            "dataset": self.dataset,
            "generator": self.generator,
        }

    def feature_sets(
        self, views: Callable[[str], bool] = _every
    ) -> Iterator[tuple[FeatureSet, FeatureSet, FeatureSet]]:
        """Generated, held-out real and training real features, encoder by encoder and view."""
        sides = read_split(self.split)
        test, train = set(fields_on(sides, "test")), set(fields_on(sides, "train"))
        for encoder, folders in self.real.items():
            # Another experiment on the same data may want more views of the real images.
            for view in filter(views, _views(self.generated[encoder][0])):
                everything = load_feature_set(
                    [f"{folder}/{view}.parquet" for folder in folders],
                    [self.fields],
                    needed=test | train,
                )
                generated = load_feature_set(
                    [f"{folder}/{view}.parquet" for folder in self.generated[encoder]],
                    self.samples,
                )
                check_comparable(generated, everything)
                ids = everything.keys["field_id"]
                yield (
                    generated,
                    everything.select(ids.isin(test).to_numpy()),
                    everything.select(ids.isin(train).to_numpy()),
                )


def _rows_of(
    measure: Callable[..., Rows],
    inputs: EvaluationInputs,
    settings: Any,
    views: Callable[[str], bool] = _whole,
) -> Rows:
    """Rows of a measure of generated, held-out and training images: every encoder and view."""
    rows: Rows = []
    for sets in inputs.feature_sets(views):
        rows += measure(*sets, context=inputs.context, settings=settings)
    return rows


def measure_distances(inputs: EvaluationInputs) -> Rows:
    """Fréchet and kernel distances of every encoder and view, with floors and controls."""
    settings = inputs.settings
    return _rows_of(
        distance_rows,
        inputs,
        DistanceSettings(
            kernel_subset_size=settings.subset_size,
            kernel_subsets=settings.subsets,
            floor_repeats=settings.floor_repeats,
            minimum_fields=settings.minimum_images,
            seed=settings.seed,
            low_sample=settings.low_sample,
        ),
        views=_every,
    )


def measure_effects(inputs: EvaluationInputs) -> Rows:
    """Treatment effects of every encoder and view."""
    settings = inputs.settings
    rows: Rows = []
    for images, test, _ in inputs.feature_sets():
        rows += treatment_effect_rows(
            images,
            test,
            context=inputs.context,
            settings=EffectSettings(floor_repeats=settings.floor_repeats, seed=settings.seed),
            true_effects=_true_effects(images) if inputs.source == "simulated" else None,
        )
    return rows


def _true_effects(images: FeatureSet) -> dict[str, float]:
    """True effects that can be ranked: of the longest series of strengths, and of no effect.

    The mean over the cell types at hand. Effects of different programmes move other parameters,
    and no order between them is known.
    """
    pairs = images.keys[["cell_type", "perturbation"]].drop_duplicates()
    effects = {
        str(perturbation): float(
            np.mean([true_effect(str(perturbation), str(cell)) for cell in group["cell_type"]])
        )
        for perturbation, group in pairs.groupby("perturbation")
    }
    series = [programme.members for programme in programmes(effects) if programme.is_series]
    ranked = max(series, key=len, default=())
    return {name: size for name, size in effects.items() if name in ranked or size == 0}


def _shared(inputs: EvaluationInputs) -> bool:
    """Whether fields are on both sides, as on data too small to be split."""
    sides = read_split(inputs.split)
    return bool(set(fields_on(sides, "test")) & set(fields_on(sides, "train")))


def measure_probes(inputs: EvaluationInputs) -> Rows:
    """Linear probes on whole images (`all`, `rgb`), of all perturbations and of each set."""
    from morphpipe.evaluation.probes.rows import ProbeSettings, probing_rows, probing_set_rows

    settings = ProbeSettings(seed=inputs.settings.seed, shared_wells=_shared(inputs))
    rows: Rows = []
    for sets in inputs.feature_sets(_whole):
        rows += probing_rows(*sets, context=inputs.context, settings=settings)
        for name, perturbations in inputs.settings.perturbation_sets.items():
            rows += probing_set_rows(
                *sets, perturbations, name=name, context=inputs.context, settings=settings
            )
    return rows


def measure_manifold(inputs: EvaluationInputs) -> Rows:
    """Precision, recall, density and coverage on whole images."""
    from morphpipe.evaluation.coverage.rows import ManifoldSettings, manifold_rows

    settings = inputs.settings
    return _rows_of(
        manifold_rows,
        inputs,
        ManifoldSettings(
            neighbours=settings.neighbours,
            at_most=settings.at_most,
            floor_repeats=settings.floor_repeats,
            minimum_fields=settings.minimum_images,
            seed=settings.seed,
        ),
    )


def measure_memorisation(inputs: EvaluationInputs) -> tuple[Rows, pa.Table]:
    """Distances to the nearest training images on whole images, and the closest pairs."""
    from morphpipe.evaluation.coverage.memorisation import (
        MemorisationSettings,
        memorisation,
        pair_table,
    )

    settings = inputs.settings
    rows: Rows = []
    pairs = []
    for images, test, train in inputs.feature_sets(_whole):
        found, closest = memorisation(
            images,
            test,
            train,
            context=inputs.context,
            settings=MemorisationSettings(
                at_most=settings.at_most, replicates=settings.bootstrap, seed=settings.seed
            ),
        )
        rows += found
        pairs.append(closest)
    return rows, pair_table(pairs)


def measure_variance(inputs: EvaluationInputs) -> Rows:
    """Variance of features within conditions, of every view."""
    settings = inputs.settings
    return _rows_of(
        variance_rows,
        inputs,
        VarianceSettings(floor_repeats=settings.floor_repeats, seed=settings.seed),
        views=_every,
    )


def _compared(inputs: EvaluationInputs, generated: FeatureSet, real: FeatureSet) -> list[str]:
    """Perturbations that are compared with one another: those of the sets, or the most frequent."""
    named = [name for names in inputs.settings.perturbation_sets.values() for name in names]
    if named:
        return list(dict.fromkeys(named))
    return most_frequent(of_generated_conditions(real, generated), _MOST_FREQUENT)


def measure_cross_perturbation(inputs: EvaluationInputs) -> Rows:
    """Distances between real images of different perturbations, training images among them.

    No generator is judged here, and the sets are as large as they can be.
    """
    settings = inputs.settings
    rows: Rows = []
    for images, test, train in inputs.feature_sets(_whole):
        new = ~train.keys["field_id"].isin(test.keys["field_id"]).to_numpy(bool)
        real = joined(test, train.select(new))
        rows += cross_perturbation_rows(
            real,
            _compared(inputs, images, real),
            context=inputs.context,
            settings=CrossSettings(
                kernel_subset_size=settings.subset_size,
                kernel_subsets=settings.subsets,
                repeats=settings.floor_repeats,
                minimum_fields=settings.minimum_images,
                seed=settings.seed,
            ),
        )
    return rows


def measure_retrieval(inputs: EvaluationInputs) -> Rows:
    """Retrieval of perturbations and mechanisms on whole images."""
    from morphpipe.evaluation.retrieval.rows import RetrievalSettings, retrieval_rows

    settings = inputs.settings
    return _rows_of(
        retrieval_rows,
        inputs,
        RetrievalSettings(halvings=settings.floor_repeats, seed=settings.seed),
    )


def measure_batches(inputs: EvaluationInputs) -> Rows:
    """Probes and effects within and across batches, raw and corrected, on whole images."""
    from morphpipe.evaluation.robustness.batches import BatchSettings, batch_rows

    settings = inputs.settings
    rows: Rows = []
    for images, test, train in inputs.feature_sets(_whole):
        rows += batch_rows(
            images,
            test,
            train,
            _compared(inputs, images, train),
            context=inputs.context,
            settings=BatchSettings(seed=settings.seed),
        )
    return rows


def measure_matched(inputs: EvaluationInputs) -> Rows:
    """Effects and probes among fields of the same cell count, on whole images."""
    from morphpipe.evaluation.robustness.cell_count_matched import (
        MatchedSettings,
        count_probe_rows,
        matched_measures,
    )

    counts = read_counts(inputs.counts)
    matching = MatchedSettings(
        bins=inputs.settings.count_bins,
        shared_wells=_shared(inputs),
        seed=inputs.settings.seed,
    )
    rows: Rows = []
    for images, test, train in inputs.feature_sets(_whole):
        compared = _compared(inputs, images, train)
        if not rows:
            # Counts are the same whatever the encoder.
            rows += cell_count_rows(images, test, counts, context=inputs.context)
            rows += count_probe_rows(
                [images, test, train], counts, compared, context=inputs.context, settings=matching
            )
        rows += matched_measures(
            images, test, train, counts, compared, context=inputs.context, settings=matching
        )
    return rows


MEASURES: dict[str, Callable[[EvaluationInputs], Rows]] = {
    "distances": measure_distances,
    "effects": measure_effects,
    "probes": measure_probes,
    "manifold": measure_manifold,
    "memorisation": lambda inputs: measure_memorisation(inputs)[0],
    "variance": measure_variance,
    "cross_perturbation": measure_cross_perturbation,
    "retrieval": measure_retrieval,
    "batches": measure_batches,
    "matched": measure_matched,
}
"""By the name of the metric table."""
