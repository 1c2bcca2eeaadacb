"""Templates, style and script of pages."""

from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined


def resource(name: str) -> str:
    """Return the text of a file of the package."""
    return files("morphpipe.report").joinpath(name).read_text("utf-8")


def template_environment() -> Environment:
    """Return the template environment, with autoescaping."""
    return Environment(
        loader=PackageLoader("morphpipe.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
