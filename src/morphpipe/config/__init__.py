"""The configuration: its shape, its defaults, its checks."""

from morphpipe.config.configuration import (
    Configuration,
    parse_configuration,
    read_configuration,
)

__all__ = ["Configuration", "parse_configuration", "read_configuration"]
