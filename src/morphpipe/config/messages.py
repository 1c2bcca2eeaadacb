"""Readable messages for configuration errors."""

from typing import Any

from pydantic import BaseModel, ValidationError


def faults(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return one line per invalid key: its place, the error, its value and allowed values.

    Parameters
    ----------
    error
        Raised by the validation of `model`.
    model
        Model of the whole configuration.
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
    """Return the YAML key of an error, and the part of the schema that contains it."""
    keys: list[str] = []
    here, parent = _resolved(schema, schema), schema
    for part in location:
        mapping = here.get("discriminator", {}).get("mapping", {})
        if part in mapping:  # pydantic's name of the variant, which is not in the file
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
    """Resolve the reference of a part of the schema; `anyOf` gives the variant that is not null."""
    for variant in part.get("anyOf", ()):
        if variant.get("type") != "null":
            return _resolved(schema, variant)
    if "$ref" in part:
        return dict(schema["$defs"][part["$ref"].rsplit("/", 1)[1]])
    return part
