"""Numbers of generated images, and memory of the evaluation."""

from morphpipe.config import Configuration
from morphpipe.config.experiments import Experiment
from morphpipe.config.sampling import Sampling
from morphpipe.datasets.sources.registry import source_of


def generated_images(configuration: Configuration, experiment: Experiment) -> int:
    """Return the number of generated images of an experiment, over all seeds."""
    dataset = configuration.splits[experiment.split].dataset
    seeds = len(experiment.sampling.seeds) * len(experiment.training.seeds)
    conditions = count_conditions(configuration, experiment, dataset)
    return conditions * experiment.sampling.per_condition * seeds


def evaluation_memory(configuration: Configuration, name: str) -> int:
    """Return the memory (MB) for the evaluation of an experiment.

    Loading features takes 1.2 times their size, measures take up to eight times their size
    (`benchmarks/memory_of_measures.py`).
    """
    experiment = configuration.experiments[name]
    dataset = configuration.splits[experiment.split].dataset
    real, _ = source_of(configuration.datasets[dataset]).fields()
    images = real + generated_images(configuration, experiment)
    widest = max(configuration.encoders[e].features for e in experiment.evaluation.encoders)
    return max(8000, 2000 + round(8 * images * widest * 4 / 1e6))


def count_conditions(configuration: Configuration, experiment: Experiment, dataset: str) -> int:
    """Return the number of generated conditions, estimated from the configuration."""
    settings, sampling = configuration.datasets[dataset], experiment.sampling
    cell_types = count_cell_types(configuration, sampling, dataset)
    named = sampling.perturbations
    if named is None and sampling.random_perturbations is None:
        # BBBC021 has 113 compounds; others are only known from the data.
        all_of_them = settings.all_perturbations or range(113)
        return cell_types * len(all_of_them)
    return cell_types * (len(named or []) + (sampling.random_perturbations or 0))


def count_cell_types(configuration: Configuration, sampling: Sampling, dataset: str) -> int:
    """Return the number of generated cell types."""
    return len(sampling.cell_types or configuration.datasets[dataset].all_cell_types or ("one",))
