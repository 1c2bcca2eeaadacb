"""What pages are made with: templates, style and script."""

from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined


def resource(name: str) -> str:
    """Text of a file of the package."""
    return files("morphpipe.report").joinpath(name).read_text("utf-8")


def template_environment() -> Environment:
    """The templates, which escape all that they are filled with."""
    return Environment(
        loader=PackageLoader("morphpipe.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
