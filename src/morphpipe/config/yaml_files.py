"""Reading YAML configuration files, in which duplicate keys are errors."""

from pathlib import Path
from typing import Any

import yaml

from morphpipe.core.errors import ConfigError

_CODE = "__use_yte__"


class _UniqueKeys(yaml.SafeLoader):
    """PyYAML's safe loader, with an error for duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[Any, int] = {}
        for key_node, _ in node.value:
            # Keys merged by `<<` may be overridden.
            if not isinstance(key_node, yaml.ScalarNode) or key_node.value == "<<":
                continue
            line = key_node.start_mark.line + 1
            if key_node.value in lines:
                raise ConfigError(
                    f"{self.name}: duplicate key {key_node.value!r} in lines "
                    f"{lines[key_node.value]} and {line}: remove one of them."
                )
            lines[key_node.value] = line
        return super().construct_mapping(node, deep)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a configuration file, without executing code in it.

    Raises
    ------
    ConfigError
        If the file is missing, is not a YAML mapping, has a duplicate key, or contains code
        (Snakemake evaluates the expressions of a file with `__use_yte__: true`).
    """
    path = Path(path)
    try:
        with open(path, encoding="utf-8") as stream:
            loader = _UniqueKeys(stream)
            try:
                content = loader.get_single_data()
            finally:
                loader.dispose()
    except FileNotFoundError:
        raise ConfigError(f"There is no configuration file {path}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path} is not valid YAML: it is nested too deeply.") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is not a configuration: expected a mapping of keys.")
    if _CODE in content:
        raise ConfigError(
            f"{path} has the key {_CODE}, with which Snakemake runs expressions in the file as "
            "code: replace the expressions with their values, and remove the key."
        )
    return content
