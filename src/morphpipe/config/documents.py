"""The configuration's JSON schema and its documented default file, made from the models.

`python -m morphpipe.config.documents` writes `schema.json` and `reference.yaml` into `config/`.
"""

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo

from morphpipe.config.base import Model
from morphpipe.config.configuration import Configuration
from morphpipe.core.storage import atomic_path, write_json

REQUIRED = "REQUIRED"
_WIDTH = 100

_HEADER = """\
# Every key of the configuration, with its default. Made from the models of morphpipe.config by
# `python -m morphpipe.config.documents`; do not edit. REQUIRED marks what has no default. Under
# `weights`, `datasets`, `splits`, `autoencoders`, `encoders`, `conditions`, `morphology`,
# `experiments` and `comparisons` stand any number of entries by names of your own; here one of
# each kind, named <kind>.
"""


def schema() -> dict[str, Any]:
    """The JSON schema of the configuration, for editors and other programs."""
    return Configuration.model_json_schema()


def reference() -> str:
    """The documented default file: every key with type, default and description, as YAML."""
    return _HEADER + "\n".join(_lines(Configuration, 0)) + "\n"


def _lines(model: type[Model], indent: int) -> Iterator[str]:
    """The keys of a model."""
    properties = model.model_json_schema()["properties"]
    definitions = model.model_json_schema().get("$defs", {})
    # What a part is comes before what it is made of.
    ordered = sorted(
        model.model_fields.items(), key=lambda item: item[0] not in ("source", "kind", "origin")
    )
    for name, field in ordered:
        if indent == 0:
            yield ""
        yield from _comment(field.description or "", indent)
        pad, models = " " * indent, _models(field.annotation)
        default = field.get_default(call_default_factory=True)
        if not models:
            kind = _kind(properties[name], definitions)
            yield f"{pad}{name}: {_value(field, default, properties[name])}  # {kind}"
        elif get_origin(field.annotation) is dict:
            yield f"{pad}{name}:{'' if field.is_required() else '  # may be left out'}"
            for part in models:
                yield from _comment(_summary(part), indent + 2)
                yield f"{pad}  <{_label(part, name)}>:"
                yield from _lines(part, indent + 4)
        elif default is None:
            yield f"{pad}{name}: null  # or:"
            for line in (*_comment(_summary(models[0]), 2), *_lines(models[0], 2)):
                yield f"{pad}# {line}"
        else:
            yield from _comment(_summary(models[0]), indent)
            yield f"{pad}{name}:"
            yield from _lines(models[0], indent + 2)
            for other in models[1:]:
                yield f"{pad}# or:"
                for line in (*_comment(_summary(other), 2), *_lines(other, 2)):
                    yield f"{pad}# {line}"


def _comment(text: str, indent: int) -> list[str]:
    lead = " " * indent + "# "
    return textwrap.wrap(
        text, _WIDTH, initial_indent=lead, subsequent_indent=lead, break_on_hyphens=False
    )


def _summary(model: type[Model]) -> str:
    return " ".join((model.__doc__ or "").split("\n\n")[0].split())


def _label(model: type[Model], section: str) -> str:
    """The kind of an entry: what its discriminator says, or the section in the singular."""
    for field in model.model_fields.values():
        constants = get_args(field.annotation)
        if field.is_required() and len(constants) == 1 and isinstance(constants[0], str):
            return constants[0]
    return section if section == "weights" else section.removesuffix("s")


def _models(annotation: Any) -> list[type[Model]]:
    """The models inside an annotation, in order."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _value(field: FieldInfo, default: Any, node: dict[str, Any]) -> str:
    if field.is_required():
        default = node.get("const", REQUIRED)
    if isinstance(default, tuple):
        default = list(default)
    text = yaml.safe_dump(
        default, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("...\n").strip()


_NAMES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
}
_LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
}


def _kind(node: dict[str, Any], definitions: dict[str, Any]) -> str:
    """What a value may be, in words."""
    if "$ref" in node:
        return _kind(definitions[node["$ref"].rsplit("/", 1)[1]], definitions)
    if "anyOf" in node:
        return " or ".join(_kind(part, definitions) for part in node["anyOf"])
    if "const" in node:
        return "this value"
    if "enum" in node:
        return " | ".join(map(str, node["enum"]))
    if node.get("type") == "array":
        items = node.get("items") or node["prefixItems"][0]
        return f"list of: {_kind(items, definitions)}"
    if node.get("type") == "object":
        values = node.get("additionalProperties")
        return f"by name: {_kind(values, definitions)}" if isinstance(values, dict) else "by name"
    if node.get("type") == "null":
        return "null"
    limits = [text.format(node[key]) for key, text in _LIMITS.items() if key in node]
    return " ".join([_NAMES[node["type"]], *limits])


def write(folder: str | Path) -> None:
    """Write `schema.json` and `reference.yaml` into a folder."""
    write_json(schema(), Path(folder) / "schema.json")
    with atomic_path(Path(folder) / "reference.yaml") as temporary:
        temporary.write_text(reference(), "utf-8")


if __name__ == "__main__":
    write(sys.argv[1] if len(sys.argv) > 1 else "config")
