"""What the two papers did, to say how far a run is from it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """The published experiment that a kind of generator belongs to.

    Attributes
    ----------
    name
        Of the model.
    images, images_source
        Generated (and real) images per condition, and where the paper says so.
    steps, steps_source
        Training steps.
    seeds
        Repetitions; 1 where the paper tells of none.
    network, codec
        Preset, and repository of the autoencoder.
    datasets
        What it was shown on.
    guidance
        Whether its sampling was guided, in words.
    """

    name: str
    images: int
    images_source: str
    steps: int
    steps_source: str
    seeds: int
    network: str
    codec: str
    datasets: tuple[str, ...]
    guidance: str


_MORPHGEN = Paper(
    "MorphGen",
    500,
    "section 4.1",
    400_000,
    "appendix B",
    3,
    "SiT-XL/2",
    "stabilityai/sd-vae-ft-mse",
    ("rxrx1",),
    "MorphGen does not say whether it did",
)

PAPERS = {
    "MorphGen": _MORPHGEN,
    # The paper does not give the number of steps: about 130,000 for RxRx1 is an answer of its
    # authors in the repository of the code.
    "MorphoDiff": Paper(
        "MorphoDiff",
        500,
        "section 3",
        130_000,
        "RxRx1, an answer of its authors",
        1,
        "SD-v1-4",
        "CompVis/stable-diffusion-v1-4",
        ("rxrx1", "bbbc021", "gallery"),
        "MorphoDiff used none",
    ),
}
"""By `paper` of a generator's settings."""
