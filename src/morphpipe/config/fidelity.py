"""Where a paper, its released code and what is right part ways."""

from typing import Literal

from pydantic import Field

from morphpipe.config.base import Model

Reading = Literal["fixed", "paper", "released_code"]


class Fidelity(Model):
    """One reading for each difference that is no setting of its own; docs/fidelity.md explains."""

    average: Reading = Field(
        "fixed",
        description="Of MorphoDiff. released_code: every checkpoint puts the averaged weights in "
        "the place of the trained ones and never restores them. paper, fixed: the average is kept "
        "beside.",
    )
    requeue: Reading = Field(
        "fixed",
        description="Of MorphoDiff. released_code: every slice of the training starts with a "
        "fresh optimizer and a fresh average. paper, fixed: both go on.",
    )
    sampling_noise: Reading = Field(
        "fixed",
        description="Of MorphoDiff. released_code: the noise starts anew for every perturbation, "
        "so that the n-th images of two perturbations share it. paper, fixed: every image has its "
        "own.",
    )
