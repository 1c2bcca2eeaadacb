"""How images are sampled from a trained generator: which, how many, by which solver and guidance.

What the settings do, and how to choose, is described in docs/sampling.md.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import Field, model_validator

from morphpipe.config.base import Model, PositiveInt, Seed

FlowSampler = Literal[
    "euler-maruyama", "euler", "heun", "adams2", "adams3", "adams4", "dpm++", "unipc"
]
DiffusionSampler = Literal["ddpm", "ddim", "dpm++", "euler", "pndm"]
OnePassSampler = Literal["one-pass"]
Grid = Literal["uniform", "shifted", "edm"]

FLOW_SAMPLERS, DIFFUSION_SAMPLERS = get_args(FlowSampler), get_args(DiffusionSampler)

PAPER_STEPS = 50
"""Steps of MorphGen (section 3) and of MorphoDiff."""

FLOW_DEFAULT = "adams2"
ODE_STEPS = 12
"""Where nothing is said: as good as more evaluations, with a margin (docs/sampling.md)."""

SHIFT = 3.0
"""Shift of the grid `shifted` where none is given: Stable Diffusion 3's (Esser et al. 2024)."""


@dataclass(frozen=True)
class Path:
    """What a family of generators is sampled along.

    Attributes
    ----------
    name
        For messages.
    samplers
        What can sample from it; the first is its paper's.
    default
        The sampler where none is named.
    continuous
        Whether its times are in [0, 1], with grids and intervals of guidance; otherwise they are
        the timesteps of a diffusion.
    reversible
        The sampler whose steps can be gone back, from an image to noise; None for none.
    one_pass
        Whether an image is one pass of the network: no times, and no guidance.
    """

    name: str
    samplers: tuple[str, ...]
    default: str
    continuous: bool
    reversible: str | None = None
    one_pass: bool = False


FLOW = Path("flow", FLOW_SAMPLERS, FLOW_DEFAULT, continuous=True, reversible="heun")
DIFFUSION = Path(
    "diffusion", DIFFUSION_SAMPLERS, DIFFUSION_SAMPLERS[0], continuous=False, reversible="ddim"
)
ADVERSARIAL = Path(
    "adversarial generator", get_args(OnePassSampler), "one-pass", continuous=False, one_pass=True
)


class Guidance(Model):
    """Guidance inside an interval of time: v = v_guide + scale (v - v_guide)."""

    scale: float = Field(1.0, ge=0, description="1 is off.")
    low: float = Field(0.0, ge=0, le=1, description="Flows: guide from this time on (0: data).")
    high: float = Field(1.0, ge=0, le=1, description="Flows: guide up to this time (1: noise).")
    guide: int | None = Field(
        None,
        ge=0,
        description="Autoguidance (Karras et al. 2024, arXiv:2406.02507): number of the training "
        "slice, from 0, whose checkpoint guides, with the condition. Null: classifier-free, the "
        "guide is the generator itself without the condition.",
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> "Guidance":
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) is above high ({self.high})")
        if self.guide is not None and self.scale == 1:
            raise ValueError(
                f"guide is {self.guide}, but scale is 1, which switches guidance off: give a "
                "scale, or leave guide out"
            )
        return self

    @property
    def limited(self) -> bool:
        """Whether it acts in a part of the time only."""
        return (self.low, self.high) != (0.0, 1.0)


class Sampling(Model):
    """What is generated, and how."""

    seeds: list[Seed] = Field(default_factory=lambda: [0, 1, 2], min_length=1)
    sampler: Literal[FlowSampler, DiffusionSampler, OnePassSampler] | None = Field(
        None,
        description="Flows: euler-maruyama (stochastic; MorphGen, section 3), or for the ODE "
        "euler, heun, adams2, adams3, adams4, dpm++, unipc. Diffusion (U-Net): ddpm (MorphoDiff), "
        f"ddim, dpm++, euler, pndm. Adversarial: one-pass. Null: {FLOW_DEFAULT}, ddpm and "
        "one-pass. See docs/sampling.md.",
    )
    steps: PositiveInt | None = Field(
        None,
        description=f"Null: {ODE_STEPS} of a flow's ODE, {PAPER_STEPS} of euler-maruyama and of a "
        "diffusion (MorphGen, section 3; MorphoDiff).",
    )
    grid: Grid = Field(
        "uniform",
        description="Times of the steps, of a flow's ODE: uniform, shifted (Stable Diffusion 3) or "
        "edm (Karras et al. 2022).",
    )
    shift: float | None = Field(
        None,
        gt=0,
        description="Shift of the grid `shifted`: above 1 more steps near noise, below 1 near the "
        f"data. Null: {SHIFT:g} (Stable Diffusion 3).",
    )
    last_correction: bool = Field(
        False,
        description="Sampler heun: also correct the last step, with one more evaluation. "
        "REPA's sampler and EDM's algorithm 1 do not.",
    )
    guidance: Guidance = Field(default_factory=Guidance)
    per_condition: PositiveInt = Field(500, description="Images per cell type and perturbation.")
    one_set: bool = Field(
        False,
        description="One set of images of a cell type for all perturbations, as MorphoDiff's "
        "released code has it for the baseline, instead of a set for each: a thousand times "
        "less work for a thousand perturbations. Only for conditions of kind `constant`.",
    )
    batch: str | None = Field(
        "real",
        description="Batch label, for generators that have one: `real`, those of the held-out "
        "fields of each condition in turn, as far as they were trained on; a batch by name; null, "
        "none.",
    )
    cell_types: list[str] | None = Field(None, description="None: all of the split.")
    perturbations: list[str] | None = Field(None, description="None: all of the split.")
    random_perturbations: int | None = Field(
        None, ge=0, description="Beside those named, so many drawn at random from the split."
    )
    shards: PositiveInt = Field(1, description="Number of jobs, and archives, per seed.")
    batch_size: PositiveInt = 32
    threads: PositiveInt = Field(
        8,
        description="Cores of a job. Without a GPU, shards on one core each, side by side, are "
        "faster than one after the other on all.",
    )

    @model_validator(mode="after")
    def _shift(self) -> "Sampling":
        if self.shift is not None and self.grid != "shifted":
            raise ValueError(
                f"shift is {self.shift:g}, but the grid {self.grid!r} has none: choose `grid: "
                "shifted`, or leave shift out"
            )
        return self

    def sampler_for(self, path: Path) -> str:
        """The sampler by name."""
        return self.sampler or path.default

    def steps_for(self, path: Path) -> int:
        """Steps of the sampler."""
        if path.one_pass:
            return 1
        ode = path.continuous and self.sampler_for(path) != "euler-maruyama"
        return self.steps or (ODE_STEPS if ode else PAPER_STEPS)

    def unsuited_to(self, path: Path) -> str | None:
        """Say which setting makes no sense for a generator; None where all do."""
        sampler = self.sampler_for(path)
        if sampler not in path.samplers:
            return (
                f"sampling.sampler is {sampler!r}, but a {path.name} is sampled by "
                f"{', '.join(path.samplers)}"
            )
        if path.one_pass and self.guidance != Guidance():
            return (
                f"sampling.guidance is set, but an {path.name} makes an image in one pass, which "
                "nothing guides: leave guidance out"
            )
        if path.one_pass and (self.steps not in (None, 1) or self.grid != "uniform"):
            key = "grid" if self.grid != "uniform" else "steps"
            return (
                f"sampling.{key} is {getattr(self, key)!r}, but an {path.name} makes an image in "
                f"one pass, without steps: leave {key} out"
            )
        if not path.continuous and self.guidance.limited:
            return (
                "sampling.guidance.low and .high are times of a flow: a "
                f"{path.name} is guided at every step"
            )
        if not path.continuous and self.grid != "uniform":
            return (
                f"sampling.grid is {self.grid!r}, but grids are times of a flow: a {path.name} is "
                "sampled at its own timesteps; leave grid out"
            )
        if sampler == "euler-maruyama" and self.grid != "uniform":
            return (
                f"sampling.grid is {self.grid!r}, but the sampler euler-maruyama has the times of "
                "REPA's: leave grid out, or choose another sampler"
            )
        if sampler != "heun" and self.last_correction:
            return (
                f"sampling.last_correction is true, but the sampler {sampler} has no correction: "
                "leave it out, or choose `sampler: heun`"
            )
        return None
