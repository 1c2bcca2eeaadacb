"""Errors that a user can fix.

The command line and the workflow's scripts print these as one sentence without a traceback; any
other exception is a bug of morphpipe and keeps its traceback.
"""


class MorphpipeError(Exception):
    """An error that the user can fix: the message says what is wrong, where, and what to do."""


class ConfigError(MorphpipeError):
    """The configuration is invalid."""


class DataError(MorphpipeError):
    """A table, archive or image is invalid."""


class WeightsError(MorphpipeError):
    """Pretrained weights are missing or are not the ones declared."""


class TrainingError(MorphpipeError):
    """Training cannot continue, e.g. because the loss is no longer finite."""


class StorageError(MorphpipeError):
    """A file cannot be written, e.g. because the disk is full."""
