"""What is wrong in a configuration, in words for the person who wrote it."""

from typing import Any

from pydantic import BaseModel, ValidationError


def faults(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One line for every wrong key: where it is, what is wrong, what it holds, what is allowed.

    Parameters
    ----------
    error
        What validating `model` raised.
    model
        The model of the whole configuration.
    """
    schema = model.model_json_schema()
    lines = []
    for fault in error.errors():
        key, parent = _follow(schema, fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            message = f"is not a known key; allowed: {', '.join(parent.get('properties', {}))}"
        elif not isinstance(fault["input"], dict | list):
            message = f"{message} (found {fault['input']!r})"
        lines.append(f"{key}: {message}" if key else message)
    return lines


def _follow(schema: dict[str, Any], location: tuple[str | int, ...]) -> tuple[str, dict[str, Any]]:
    """A fault's place as keys of the YAML file, and the part of the schema that holds it."""
    keys: list[str] = []
    here, parent = _resolved(schema, schema), schema
    for part in location:
        mapping = here.get("discriminator", {}).get("mapping", {})
        if part in mapping:  # pydantic's name of the variant, which the file does not have
            here = _resolved(schema, {"$ref": mapping[part]})
            continue
        keys.append(str(part))
        parent = here
        names = here.get("patternProperties", {}).values()
        below = here.get("properties", {}).get(part) or next(iter(names), None)
        below = below or here.get("additionalProperties") or here.get("items") or {}
        here = _resolved(schema, below if isinstance(below, dict) else {})
    return ".".join(keys), parent


def _resolved(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """A part of the schema with its reference looked up; of an optional part, what is not null."""
    for variant in part.get("anyOf", ()):
        if variant.get("type") != "null":
            return _resolved(schema, variant)
    if "$ref" in part:
        return dict(schema["$defs"][part["$ref"].rsplit("/", 1)[1]])
    return part
