"""The configuration: models, defaults and validation."""

from morphpipe.config.configuration import (
    Configuration,
    parse_configuration,
    read_configuration,
)

__all__ = ["Configuration", "parse_configuration", "read_configuration"]
