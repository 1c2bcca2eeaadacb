"""What a run's configuration says of an experiment, as far as it decides on comparability."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from morphpipe.config import Configuration
from morphpipe.config.dataset_settings import DatasetSettings
from morphpipe.config.datasets import SETTINGS


@dataclass(frozen=True)
class ExperimentFacts:
    """One experiment of a run.

    Attributes
    ----------
    name
        In the configuration.
    dataset, source, project
        Name and source of the dataset (`rxrx1`, `bbbc021`, …), and the project of a gallery's.
    selection
        What is taken of it: cell types, batches, subset, compounds, genes; those that are set.
    fractions
        Share of the wells on each side of the split.
    image_mode
        `channels` or `rgb`.
    network, starting_weights, condition
        Preset, source of the weights that training starts from, kind of the condition; None.
    aligned_with
        Kind of the encoder of the alignment loss; None without one.
    autoencoder
        Where its weights come from, `trained here` where the workflow trains it.
    autoencoder_name
        In the configuration.
    steps, batch_size, learning_rate
        Of the training.
    training_seeds, sampling_seeds
        Seeds.
    sampler, sampling_steps, guidance, per_condition
        Of the sampling.
    perturbations, drawn
        Those that sampling names (None: all) and how many it draws besides.
    encoders
        By name: `kind`; `weights`, where they come from; `view`, in which it sees whole images:
        `rgb` or `all`.
    morphology
        The CellProfiler recipe, `recipe` and `pipeline`; None where nothing is measured.
    crops
        `order` and `size`; None where none are cut.
    minimum_images, subset_size
        Of the distances.
    """

    name: str
    dataset: str
    source: str
    project: str | None
    selection: Mapping[str, Any]
    fractions: Mapping[str, float]
    image_mode: str
    network: str
    starting_weights: str | None
    condition: str | None
    aligned_with: str | None
    autoencoder: str
    autoencoder_name: str
    steps: int
    batch_size: int
    learning_rate: float
    training_seeds: list[int]
    sampling_seeds: list[int]
    sampler: str
    sampling_steps: int
    guidance: float
    per_condition: int
    perturbations: list[str] | None
    drawn: int | None
    encoders: Mapping[str, Mapping[str, str]]
    morphology: Mapping[str, str] | None
    crops: Mapping[str, Any] | None
    minimum_images: int
    subset_size: int

    @property
    def origin(self) -> type[DatasetSettings]:
        """The class of the dataset's settings, with what is known of its source."""
        return SETTINGS[self.source]


TRAINED_HERE = "trained here"
_SELECTED = ("cell_types", "batches", "subset", "compounds", "genes", "perturbations")


def experiment_facts(configuration: Configuration, name: str) -> ExperimentFacts:
    """Read the facts of an experiment from the configuration."""
    experiment = configuration.experiments[name]
    split = configuration.splits[experiment.split]
    dataset = configuration.datasets[split.dataset]
    generator, training, sampling = experiment.generator, experiment.training, experiment.sampling
    evaluation = experiment.evaluation
    measured = evaluation.morphology

    def source_of(weights: str | None) -> str | None:
        return None if weights is None else configuration.weights[weights].source

    autoencoder = configuration.autoencoders[experiment.autoencoder]
    autoencoder_source = source_of(autoencoder.weights_name) or TRAINED_HERE
    encoders = {}
    for encoder in evaluation.encoders:
        settings = configuration.encoders[encoder]
        weights = TRAINED_HERE if settings.kind == "resnet18" else source_of(settings.weights)
        colour = settings.kind == "inception" or getattr(settings, "image_mode", "") == "rgb"
        view = "rgb" if colour or experiment.image_mode == "rgb" else "all"
        encoders[encoder] = {"kind": settings.kind, "weights": str(weights), "view": view}
    alignment, condition = generator.alignment, generator.condition
    selection = {key: getattr(dataset, key, None) for key in _SELECTED}
    return ExperimentFacts(
        name=name,
        dataset=split.dataset,
        source=dataset.source,
        project=getattr(dataset, "project", None),
        selection={key: value for key, value in selection.items() if value is not None},
        fractions=dict(split.fractions),
        image_mode=experiment.image_mode,
        network=generator.architecture,
        starting_weights=source_of(getattr(generator, "weights", None)),
        condition=None if condition is None else configuration.conditions[condition].kind,
        aligned_with=None if alignment is None else configuration.encoders[alignment.encoder].kind,
        autoencoder=str(autoencoder_source),
        autoencoder_name=experiment.autoencoder,
        steps=training.steps,
        batch_size=training.batch_size,
        learning_rate=training.learning_rate,
        training_seeds=list(training.seeds),
        sampling_seeds=list(sampling.seeds),
        sampler=experiment.sampler,
        sampling_steps=experiment.sampling_steps,
        guidance=sampling.guidance.scale,
        per_condition=sampling.per_condition,
        perturbations=sampling.perturbations,
        drawn=sampling.random_perturbations,
        encoders=encoders,
        morphology=None
        if measured is None
        else {
            "recipe": configuration.morphology[measured].recipe,
            "pipeline": configuration.morphology[measured].pipeline,
        },
        crops=None if evaluation.crops is None else evaluation.crops.model_dump(mode="json"),
        minimum_images=evaluation.minimum_images,
        subset_size=evaluation.subset_size,
    )
