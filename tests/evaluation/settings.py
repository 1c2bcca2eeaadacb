"""Settings as measures are given them."""

from morphpipe.config.experiments import Evaluation
from morphpipe.evaluation.registry import load_measure


def settings_of(measure, **changed):
    """The configuration's defaults of the keys that a measure reads, some of them changed."""
    return load_measure(measure).settings(Evaluation(encoders=["test"], **changed))
