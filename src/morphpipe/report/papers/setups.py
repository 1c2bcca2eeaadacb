"""What the papers say of their own runs: what a run is held against, each with its place."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Setup:
    """The published run behind some numbers; None where the paper does not say.

    Attributes
    ----------
    paper
        Its name.
    source, project
        Source of the dataset in this project's terms, and the project of a gallery's.
    network, codec, starting_weights
        Preset, and where weights come from.
    steps, steps_place
        Training steps, and where it says so.
    per_condition, per_condition_place
        Generated images per condition, and where it says so.
    repetitions
        Seeds; 1 where the paper tells of none.
    real_images
        How its real images were chosen, as a sentence that starts with "the paper".
    """

    paper: str
    source: str
    project: str | None = None
    network: str | None = None
    codec: str | None = None
    starting_weights: str | None = None
    steps: int | None = None
    steps_place: str = ""
    per_condition: int | None = None
    per_condition_place: str = ""
    repetitions: int = 1
    real_images: str = ""


_ROHBAN = "cpg0017-rohban-pathways"
_TOPPED_UP = "tops real sets of fewer than 500 images up with flips and rotations"


def _morphgen(source: str, project: str | None = None) -> Setup:
    return Setup(
        "MorphGen",
        source,
        project,
        network="SiT-XL/2",
        codec="hf://stabilityai/sd-vae-ft-mse",
        steps=400_000,
        steps_place="appendix B, at most",
        per_condition=500,
        per_condition_place="section 4.1",
        repetitions=3,
        real_images=f"the paper does not say that its real images were held out, and {_TOPPED_UP}",
    )


def _morphodiff(
    source: str, project: str | None = None, steps: int | None = None, place: str = ""
) -> Setup:
    return Setup(
        "MorphoDiff",
        source,
        project,
        network="SD-v1-4",
        codec="hf://CompVis/stable-diffusion-v1-4",
        starting_weights="hf://CompVis/stable-diffusion-v1-4",
        steps=steps,
        steps_place=place,
        per_condition=500,
        per_condition_place="section 3.2",
        real_images=f"the paper does not say that its real images were held out, and {_TOPPED_UP}",
    )


_RXRX1_STEPS = (130_000, "about, an answer of the authors; not in the paper")
SETUPS: Mapping[tuple[str, str], Setup] = {
    **{
        ("morphgen", role): _morphgen("rxrx1")
        for role in ("model", "unaligned", "held_out", "cell_types", "crops", "impa_crops")
    },
    ("morphgen", "rohban_5"): _morphgen("gallery", _ROHBAN),
    ("morphgen", "rohban_12"): _morphgen("gallery", _ROHBAN),
    ("morphodiff", "rxrx1_all"): _morphodiff("rxrx1", None, *_RXRX1_STEPS),
    ("morphodiff", "rxrx1_single"): _morphodiff("rxrx1", None, *_RXRX1_STEPS),
    ("morphodiff", "bbbc021_all"): _morphodiff("bbbc021"),
    ("morphodiff", "bbbc021_14"): _morphodiff("bbbc021"),
    ("morphodiff", "rohban_5"): _morphodiff("gallery", _ROHBAN),
    ("morphodiff", "rohban_12"): _morphodiff("gallery", _ROHBAN),
}
"""By paper and role (`morphpipe.config.papers`)."""

ENCODER_KINDS: Mapping[str, str] = {
    "distances": "inception",
    "biology": "openphenom",
    "independent": "resnet18",
}
"""The encoder behind each kind of number, in both papers."""
