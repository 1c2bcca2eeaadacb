"""Configuration files as people write them: YAML in which no key stands twice."""

from pathlib import Path
from typing import Any

import yaml

from morphpipe.core.errors import ConfigError

_CODE = "__use_yte__"


class _UniqueKeys(yaml.SafeLoader):
    """PyYAML's safe loader, for which the last of several equal keys does not silently count."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[Any, int] = {}
        for key_node, _ in node.value:
            # What `<<` brings in is overridden on purpose.
            if not isinstance(key_node, yaml.ScalarNode) or key_node.value == "<<":
                continue
            line = key_node.start_mark.line + 1
            if key_node.value in lines:
                raise ConfigError(
                    f"{self.name}: the key {key_node.value!r} stands in line "
                    f"{lines[key_node.value]} and again in line {line} of the same part: remove "
                    "one of them."
                )
            lines[key_node.value] = line
        return super().construct_mapping(node, deep)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a configuration file, without running anything that it asks for.

    Raises
    ------
    ConfigError
        When there is no file, it is no mapping in YAML, has a key twice, or asks for code to be
        run (Snakemake runs the expressions of a file that says `__use_yte__: true`).
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
        raise ConfigError(f"{path} holds no configuration: a mapping of keys is expected.")
    if _CODE in content:
        raise ConfigError(
            f"{path} has the key {_CODE}, with which Snakemake runs expressions in the file as "
            "code: write out what they give, and remove the key."
        )
    return content
