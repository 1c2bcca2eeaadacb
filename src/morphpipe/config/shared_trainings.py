"""Experiments that sample the generator of another one."""

from collections.abc import Mapping

from morphpipe.config.experiments import Experiment

# What has to be the same, so that what is said of the training is true of both.
_SHARED = ("image_mode", "autoencoder", "generator", "training", "fidelity")


def check_shared_trainings(experiments: Mapping[str, Experiment]) -> None:
    """Raise ValueError unless every `trained_by` names an experiment that trains the same."""
    for name, experiment in experiments.items():
        if experiment.trained_by is None:
            continue
        place = f"experiments.{name}.trained_by"
        other = experiments.get(experiment.trained_by)
        if other is None:
            raise ValueError(
                f"{place} names {experiment.trained_by!r}, which is not in `experiments` "
                f"(declared: {', '.join(experiments)})"
            )
        if other.trained_by is not None:
            raise ValueError(
                f"{place} names {experiment.trained_by!r}, which is itself trained by "
                f"{other.trained_by!r}: name that one"
            )
        if experiment.split != other.split:
            raise ValueError(
                f"{place}: {name!r} is on the split {experiment.split!r} and "
                f"{experiment.trained_by!r} on {other.split!r}; on another split the generator "
                "might have seen what is held out"
            )
        for key in _SHARED:
            if getattr(experiment, key) != getattr(other, key):
                raise ValueError(
                    f"{place}: `{key}` differs from that of {experiment.trained_by!r}, whose "
                    "generator is sampled: give both the same, by a YAML anchor for instance"
                )
