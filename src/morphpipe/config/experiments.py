"""An experiment: one generator trained on one split, sampled and evaluated."""

from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from morphpipe.config.base import ImageMode, Model, Name, PositiveInt, Seed
from morphpipe.config.fidelity import Fidelity
from morphpipe.config.generators import Generator, SiT
from morphpipe.config.sampling import Sampling

Measure = Literal[
    "manifold",
    "memorisation",
    "variance",
    "cross_perturbation",
    "retrieval",
    "condition_fidelity",
    "batches",
    "matched",
    "reconstruction",
]

TRANSFORMS = {"none": [0], "flip": [0, 4], "dihedral": list(range(8))}
"""Dihedral transforms that are cached, by augmentation: 0 the identity, 4 the left-right flip."""

# Settings of a training on which its weights do not depend, or by rounding only.
_NOT_IN_WEIGHTS = {
    "seeds",
    "slices",
    "checkpoint_every",
    "compile",
    "gradient_checkpointing",
    "devices",
    "nodes",
    "threads",
}


class Training(Model):
    """Optimization. Defaults: MorphGen, appendix B, and REPA's code where it is silent."""

    seeds: list[Seed] = Field(default_factory=lambda: [0], min_length=1)
    steps: PositiveInt = 400_000
    slices: PositiveInt = Field(
        8, description="Training is cut into so many jobs; each fits into a time limit."
    )
    checkpoint_every: PositiveInt = Field(2000, description="Steps between checkpoints.")
    batch_size: PositiveInt = Field(128, description="Global batch size, over all devices.")
    accumulation: PositiveInt = Field(1, description="Gradient accumulation.")
    devices: PositiveInt = Field(
        1,
        description="Processes a node, each with a GPU of its own (without GPUs: on its cores). "
        "May change at any time: it retrains nothing.",
    )
    nodes: PositiveInt = Field(
        1, description="Nodes of the cluster; several of them only in jobs of SLURM."
    )
    threads: PositiveInt = Field(
        8,
        description="Cores of a process. Without a GPU two small trainings on one core each end "
        "sooner than one after the other on both. May change at any time: it retrains nothing.",
    )
    learning_rate: float = Field(1e-4, gt=0)
    warmup_steps: int = Field(0, ge=0)
    final_learning_rate: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of the learning rate at the last step (cosine); 1 keeps it constant.",
    )
    optimizer: Literal["adamw", "adam"] = Field(
        "adamw",
        description="How `weight_decay` acts: on the weights (AdamW), or as a part of the gradient "
        "(Adam with L2 regularisation; IMPA).",
    )
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(0.0, ge=0)
    gradient_clip: float = Field(1.0, gt=0)
    ema_decay: float = Field(0.9999, ge=0, lt=1)
    ema_warmup: bool = Field(
        False, description="Cap the decay at (1+n)/(10+n), for short trainings."
    )
    ema_deviation: float | None = Field(
        None,
        gt=0,
        lt=0.28,
        description="Average with weights that grow as a power of the step, in place of "
        "`ema_decay`: their standard deviation as a share of the training, such as 0.01 to 0.1 "
        "(Karras et al. 2024, arXiv:2312.02696, section 3.1).",
    )
    time_sampling: Literal["uniform", "logit-normal", "near-data"] = Field(
        "uniform",
        description="Training times: uniform (SiT, REPA), more of them in the middle (Esser et al. "
        "2024, equation 19), or near the data (CellFlux's code).",
    )
    augmentation: Literal["none", "flip", "dihedral"] = Field(
        "none", description="Orientations that are cached and drawn from: 1, 2 or 8."
    )
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto",
        description="`auto` is bf16 where the device computes it natively, else fp32: a CPU that "
        "has to emulate bf16 takes a hundred times longer.",
    )
    gradient_checkpointing: bool = False
    compile: bool = Field(
        False,
        description="Compile the network's blocks (torch.compile). Needs a C++ compiler on a CPU, "
        "and some minutes at each start: worth it for long trainings (docs/training.md).",
    )
    deterministic: bool = Field(False, description="Deterministic kernels, slower.")

    @model_validator(mode="after")
    def _slices(self) -> "Training":
        if self.steps % self.slices:
            raise ValueError(f"steps ({self.steps}) is no multiple of slices ({self.slices})")
        if self.batch_size % (self.accumulation * self.processes):
            raise ValueError(
                f"batch_size ({self.batch_size}) is no multiple of accumulation "
                f"({self.accumulation}) times devices ({self.devices}) times nodes ({self.nodes})"
            )
        return self

    def in_weights(self, fidelity: Fidelity) -> dict[str, Any]:
        """The settings on which trained weights depend, plain values.

        In the released code's readings, checkpoints and slices are among them.
        """
        without = set(_NOT_IN_WEIGHTS)
        if fidelity.average == "released_code":
            without.discard("checkpoint_every")
        if fidelity.requeue == "released_code":
            without.discard("slices")
        return self.model_dump(mode="json", exclude=without)

    def end_of(self, number: int) -> int:
        """The step at which a slice ends."""
        return self.steps // self.slices * (number + 1)

    @property
    def processes(self) -> int:
        """Processes of a training, over all nodes."""
        return self.devices * self.nodes

    @property
    def transforms(self) -> list[int]:
        """Dihedral transforms that are cached, see `TRANSFORMS`."""
        return TRANSFORMS[self.augmentation]


class Crops(Model):
    """Single-cell crops, cut around nuclei (IMPA's protocol)."""

    order: Literal["fields", "impa-rxrx1", "impa-bbbc021", "impa-cpg0000"] = Field(
        "fields", description="Order of the channels: the fields' own, or IMPA's of a dataset."
    )
    size: PositiveInt = Field(96, description="Height and width, pixels (MorphoDiff, table 2).")


# The keys of `evaluation` that a measure reads, beside `encoders`: it is given no others.
READ_BY: dict[str, tuple[str, ...]] = {
    "distances": (
        "subset_size", "subsets", "floor_repeats", "minimum_images", "low_sample", "seed",
    ),
    "effects": ("floor_repeats", "seed"),
    "probes": ("perturbation_sets", "seed"),
    "manifold": ("neighbours", "at_most", "floor_repeats", "minimum_images", "seed"),
    "memorisation": ("at_most", "bootstrap", "seed"),
    "variance": ("floor_repeats", "seed"),
    "cross_perturbation": (
        "subset_size", "subsets", "floor_repeats", "minimum_images", "perturbation_sets", "seed",
    ),
    "retrieval": ("floor_repeats", "seed"),
    "condition_fidelity": ("at_most", "floor_repeats", "seed"),
    "batches": ("perturbation_sets", "seed"),
    "matched": ("count_bins", "perturbation_sets", "seed"),
    "ranking": ("minimum_images",),
}  # fmt: skip


class Evaluation(Model):
    """Which numbers are made."""

    encoders: list[Name] = Field(min_length=1, description="Feature encoders for all metrics.")
    views: list[str] = Field(
        default_factory=lambda: ["all", "rgb", "channels"],
        description="What an encoder sees: `all`, `rgb`, a channel by name, or `channels` for "
        "each channel. Views that an encoder cannot take are left out.",
    )
    subset_size: PositiveInt = Field(100, description="Kernel distance: images per subset.")
    subsets: PositiveInt = Field(100, description="Kernel distance: number of subsets.")
    minimum_images: PositiveInt = Field(
        16, description="Fewer images on a side give no distance, and the table says why."
    )
    floor_repeats: PositiveInt = Field(5, description="Random split halves that a floor averages.")
    units: Literal["well", "site"] = Field(
        "well",
        description="What of the real images is split for a floor and resampled for an interval. "
        "`site` is for data with one well per condition: floors are then too low and intervals "
        "too narrow, since no two wells are compared.",
    )
    measures: list[Measure] | None = Field(
        None,
        description="What is measured beside distances, effects and probes (docs/metrics.md); "
        "null: all that apply.",
    )
    perturbation_sets: dict[Name, list[str]] = Field(
        default_factory=dict,
        description="Perturbations that are probed, and compared with one another, on their own, "
        "for instance `{frequent: ['1108', '1124', '1137', '1138']}` (MorphGen, table 11).",
    )
    low_sample: int = Field(
        16, ge=2, description="Images of a set in the regime of few images (MorphGen, table 10)."
    )
    neighbours: PositiveInt = Field(
        5, description="Precision, recall, density, coverage: balls reach to this neighbour."
    )
    at_most: PositiveInt = Field(
        10_000, description="Images of a set in a search for neighbours; more are drawn from."
    )
    count_bins: PositiveInt = Field(
        5, description="Classes of cell count within which fields are matched."
    )
    reconstruction_fields: PositiveInt = Field(
        200, description="Held-out fields that go through the autoencoder and back."
    )
    bootstrap: PositiveInt = Field(
        200, description="Bootstrap replicates over wells, for `memorisation`."
    )
    crops: Crops | None = Field(
        None, description="Measure distances of single-cell crops as well; null: not."
    )
    morphology: Name | None = Field(
        None, description="One of `morphology`: measure cells with CellProfiler; null: not."
    )
    seed: Seed = 2020

    @field_validator("perturbation_sets")
    @classmethod
    def _not_all(cls, sets: dict[str, list[str]]) -> dict[str, list[str]]:
        if "all" in sets:
            raise ValueError("no set can be called 'all': metric tables call so what they pool")
        return sets

    def read_by(self, measure: str) -> dict[str, Any]:
        """What a measure reads, plain values."""
        return self.model_dump(mode="json", include={"encoders", "units", *READ_BY[measure]})


class Experiment(Model):
    """One generator, from split to metrics."""

    split: Name = Field(description="One of `splits`; it names the dataset.")
    image_mode: ImageMode = Field(
        "channels", description="Each channel through the autoencoder, or one RGB image."
    )
    autoencoder: Name = Field(description="One of `autoencoders`.")
    generator: Generator = Field(default_factory=lambda: SiT(kind="sit"))
    training: Training = Field(default_factory=Training)
    sampling: Sampling = Field(default_factory=Sampling)
    evaluation: Evaluation
    fidelity: Fidelity = Field(default_factory=Fidelity)
    trained_by: Name | None = Field(
        None,
        description="Another experiment whose generators are sampled: this one trains nothing, "
        "and has the same split, generator and training.",
    )
    note: str = Field("", description="Shown at the head of the report.")

    @model_validator(mode="after")
    def _kinds(self) -> "Experiment":
        unsuited = self.sampling.unsuited_to(self.generator.path)
        if unsuited is not None:
            raise ValueError(unsuited)
        guide, slices = self.sampling.guidance.guide, self.training.slices
        if guide is not None and guide >= slices - 1:
            raise ValueError(
                f"sampling.guidance.guide is {guide}, but a guide is the checkpoint of an earlier "
                f"slice than the last: of the {slices} slices (training.slices), counted from 0, "
                + (f"0 to {slices - 2} can guide" if slices > 1 else "none can guide")
            )
        return self

    @property
    def measures(self) -> list[Measure]:
        """What is measured beside distances, effects and probes: what is wanted and applies.

        Cells are counted in the nuclear channel, which an RGB image does not have.
        """
        wanted = self.evaluation.measures
        chosen = list(get_args(Measure)) if wanted is None else wanted
        return [name for name in chosen if name != "matched" or self.image_mode == "channels"]

    @property
    def in_samples(self) -> dict[str, Any]:
        """The settings on which the images of one sampling seed depend, plain values."""
        sampling = self.sampling
        drawn = sampling.random_perturbations is not None
        return sampling.model_dump(mode="json", exclude={"seeds", "batch_size", "threads"}) | {
            # Perturbations drawn at random are those of the first seed, for all of them.
            "drawn_by": sampling.seeds[0] if drawn else None,
            "noise": self.fidelity.sampling_noise,
        }

    @property
    def sampler(self) -> str:
        """The sampler by name."""
        return self.sampling.sampler_for(self.generator.path)

    @property
    def sampling_steps(self) -> int:
        """Steps of the sampler."""
        return self.sampling.steps_for(self.generator.path)
