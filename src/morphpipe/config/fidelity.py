"""Differences between a paper, its released code and the corrected method."""

from typing import Literal

from pydantic import Field

from morphpipe.config.base import Model

Reading = Literal["fixed", "paper", "released_code"]


class Fidelity(Model):
    """How to resolve differences without a setting of their own, see docs/fidelity.md."""

    average: Reading = Field(
        "fixed",
        description="Weight averaging in MorphoDiff. released_code: every checkpoint replaces the "
        "trained weights with their average and never restores them. paper, fixed: the average is "
        "kept separately.",
    )
    requeue: Reading = Field(
        "fixed",
        description="Resuming the training in MorphoDiff. released_code: every slice starts with a "
        "new optimizer and a new average. paper, fixed: both are restored.",
    )
    sampling_noise: Reading = Field(
        "fixed",
        description="Sampling noise in MorphoDiff. released_code: the random generator is reset "
        "for every perturbation, so the n-th images of two perturbations share their noise. paper, "
        "fixed: every image has its own noise.",
    )
