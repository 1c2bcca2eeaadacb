"""Errors that a user can mend.

The command line and the workflow's scripts print these as one sentence, without a traceback;
anything else that is raised is a fault of morphpipe and keeps its traceback.
"""


class MorphpipeError(Exception):
    """Something the user can mend: the message says what is wrong, where, and what to do."""


class ConfigError(MorphpipeError):
    """The configuration asks for something that cannot be."""


class DataError(MorphpipeError):
    """A table, an archive or an image is not what it has to be."""


class WeightsError(MorphpipeError):
    """Pretrained weights are missing or are not the ones declared."""


class TrainingError(MorphpipeError):
    """Training cannot go on, for instance because the loss is no longer finite."""


class StorageError(MorphpipeError):
    """A file cannot be written, for instance because the disk is full."""
