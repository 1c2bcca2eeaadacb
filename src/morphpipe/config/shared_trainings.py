"""Experiments that sample from another experiment's generator."""

from collections.abc import Mapping

from morphpipe.config.experiments import Experiment

# These must match, so that the reported training settings are true of both.
_SHARED = ("image_mode", "autoencoder", "generator", "training", "fidelity")


def check_shared_trainings(experiments: Mapping[str, Experiment]) -> None:
    """Raise ValueError unless every `trained_by` names an experiment with the same training."""
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
                f"{other.trained_by!r}: use that one"
            )
        if experiment.split != other.split:
            raise ValueError(
                f"{place}: {name!r} uses the split {experiment.split!r} and "
                f"{experiment.trained_by!r} uses {other.split!r}; with another split the generator "
                "may have been trained on test fields"
            )
        for key in _SHARED:
            if getattr(experiment, key) != getattr(other, key):
                raise ValueError(
                    f"{place}: `{key}` differs from that of {experiment.trained_by!r}, whose "
                    "generator is sampled: use the same value, for example with a YAML anchor"
                )
