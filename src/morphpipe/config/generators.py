"""The generators: which network, and what it is conditioned on."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from morphpipe.config.base import Model, Name, PositiveInt
from morphpipe.config.impa_presets import IMPA_PRESETS
from morphpipe.config.sampling import ADVERSARIAL, DIFFUSION, FLOW, Path
from morphpipe.config.sit_presets import CELLFLUX_PRESETS, FLOW_UNET_PRESETS, PRESETS
from morphpipe.config.unet_presets import UNET_PRESETS

Label = Literal["perturbation", "cell_type", "batch"]


class Alignment(Model):
    """Representation alignment (REPA; MorphGen, section 3)."""

    encoder: Name = Field(description="One of `encoders`, whose tokens are the alignment targets.")
    weight: float = Field(0.5, ge=0, description="lambda (MorphGen, section 3).")
    projector_width: PositiveInt = Field(2048, description="REPA's projector.")

    @property
    def place(self) -> str:
        """Where in the network the aligned tokens are, in words."""
        return "on its coarsest grid"


class BlockAlignment(Alignment):
    """Representation alignment of a transformer's tokens."""

    block: PositiveInt = Field(
        8, description="Block k whose tokens are aligned (MorphGen, section 3)."
    )

    @property
    def place(self) -> str:
        """Where in the network the aligned tokens are, in words."""
        return f"after block {self.block}"


class _Generator(Model):
    """What the settings of all generators say."""

    path: ClassVar[Path] = FLOW
    """What it is sampled along."""
    presets: ClassVar[Mapping[str, Any]]
    """Its architectures by name."""
    paper: ClassVar[str] = "morphgen"
    """Whose numbers it is compared with."""
    training_passes: ClassVar[float] = 3
    """Forward passes that cost as much as the step of one image: forward, and twice that back."""

    kind: str
    architecture: str

    labels: tuple[Label, ...] = Field(
        ("perturbation", "cell_type"),
        description="Which labels the generator is conditioned on: `perturbation` (or its "
        "embedding, see `condition`), `cell_type`, `batch`. Without any it is unconditional.",
    )
    batch_by: Literal["batch", "plate"] = Field(
        "batch", description="The column of the field table that is the batch."
    )
    label_dropout_mode: Literal["joint", "independent", "whole_batch"] = Field(
        "joint",
        description="Whether labels are dropped together (`joint`), each by a draw of its own, or "
        "together for all images of a training batch (CellFlux's code).",
    )

    @property
    def starts_from(self) -> str | None:
        """Which of `weights` its training starts from; none from scratch."""
        return None

    @property
    def starts_from_controls(self) -> bool:
        """Whether images are made from control images, and not from noise alone."""
        return False

    @property
    def adds_noise_to_controls(self) -> bool:
        """Whether sampling adds noise to the control images that it starts from."""
        return True

    def fault(self) -> str | None:
        """Say which setting cannot be; None where all can."""
        if self.architecture not in self.presets:
            return f"architecture is {self.architecture!r}; allowed: {', '.join(self.presets)}"
        if len(set(self.labels)) < len(self.labels):
            return f"labels are {', '.join(self.labels)}: name each once"
        condition = getattr(self, "condition", None)
        if condition is not None and "perturbation" not in self.labels:
            return f"condition is {condition!r}, but labels are without perturbation: add it"
        return None


class _Flow(_Generator):
    """What the networks of flows share."""

    coupling: Literal["noise", "control"] = Field(
        "noise",
        description="Source distribution of the flow: noise, or images of negative controls of the "
        "same batch and cell type (CellFlux).",
    )
    source_noise: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of the training batches in which noise from N(0, 1) is added to the "
        "controls of the coupling `control` (CellFlux); it always is in sampling.",
    )
    prediction: Literal["velocity", "data"] = Field(
        "velocity",
        description="Output of the network: the velocity, or the image, from which the velocity is "
        "computed. Velocities leave noise on raw pixels (Li and He 2025, arXiv:2511.13720).",
    )

    normalise_labels: bool = Field(
        False,
        description="Divide the sum of the labels' vectors by the square root of their number, "
        "t + (e_perturbation + e_cell_type) / √2, instead of adding them as they are (MorphGen).",
    )

    @property
    def starts_from_controls(self) -> bool:
        """Whether images are made from control images, and not from noise alone."""
        return self.coupling == "control"


class SiT(_Flow):
    """MorphGen's transformer, on the path of a flow."""

    presets: ClassVar[Mapping[str, Any]] = PRESETS

    kind: Literal["sit"]
    architecture: str = Field("SiT-XL/2", description="A preset's name (MorphGen, appendix B).")
    condition: Name | None = Field(
        None,
        description="One of `conditions`; null: a vector learnt per perturbation (MorphGen).",
    )
    label_dropout: float = Field(
        0.1, ge=0, le=1, description="Share of labels replaced by the null class (REPA's code)."
    )
    alignment: BlockAlignment | None = None

    def fault(self) -> str | None:
        """Say which setting cannot be; None where all can."""
        said = super().fault()
        if said is None and self.alignment is not None:
            depth = self.presets[self.architecture].depth
            if self.alignment.block > depth:
                return (
                    f"alignment.block is {self.alignment.block}, but {self.architecture} has "
                    f"{depth} blocks"
                )
        return said


class FlowUNet(_Flow):
    """A small convolutional U-Net on the path of a flow, for small data and short trainings."""

    presets: ClassVar[Mapping[str, Any]] = FLOW_UNET_PRESETS

    kind: Literal["flow_unet"]
    architecture: str = Field("FlowUNet-S", description="A preset's name.")
    condition: Name | None = Field(
        None, description="One of `conditions`; null: a vector learnt per perturbation."
    )
    label_dropout: float = Field(
        0.1, ge=0, le=1, description="Share of labels replaced by the null class."
    )
    alignment: Alignment | None = Field(
        None, description="Alignment of the coarsest feature map, after the middle blocks."
    )


class CellFlux(_Flow):
    """CellFlux: a flow from images of controls to images of treated cells."""

    presets: ClassVar[Mapping[str, Any]] = CELLFLUX_PRESETS

    kind: Literal["cellflux"]
    architecture: str = Field("CellFlux", description="A preset's name.")
    condition: Name | None = Field(
        None,
        description="One of `conditions`: Morgan fingerprints for BBBC021 in CellFlux; null: a "
        "vector learnt per perturbation.",
    )
    labels: tuple[Label, ...] = ("perturbation",)
    coupling: Literal["noise", "control"] = "control"
    label_dropout: float = Field(
        0.2, ge=0, le=1, description="Share of conditions replaced by the null class."
    )
    label_dropout_mode: Literal["joint", "independent", "whole_batch"] = Field(
        "whole_batch", description="By training batch in CellFlux's code, by image in its paper."
    )
    alignment: None = Field(None, description="CellFlux aligns no tokens.")


class UNet(_Generator):
    """MorphoDiff's U-Net of Stable Diffusion, which predicts the noise of a diffusion."""

    path: ClassVar[Path] = DIFFUSION
    presets: ClassVar[Mapping[str, Any]] = UNET_PRESETS
    paper: ClassVar[str] = "morphodiff"

    kind: Literal["unet"]
    architecture: str = Field("SD-v1-4", description="A preset's name (MorphoDiff, section 3.1).")
    weights: Name | None = Field(
        None,
        description="One of `weights`: a U-Net in diffusers' layout to start from; null: from "
        "scratch. MorphoDiff starts from CompVis/stable-diffusion-v1-4.",
    )
    condition: Name | None = Field(
        None, description="One of `conditions`; null: a token learnt per perturbation."
    )
    tokens: PositiveInt = Field(
        1,
        description="Number of repetitions of the condition token: 77 in MorphoDiff, which is "
        "equivalent to 1.",
    )
    padding: float = Field(
        1.0, description="Padding value of embeddings up to the token width (MorphoDiff)."
    )
    labels: tuple[Label, ...] = Field(
        ("perturbation",),
        description="Labels with a token each; MorphoDiff has the perturbation alone. Add "
        "`cell_type` for data of several cell types, or `batch`.",
    )
    label_dropout: float = Field(
        0.0, ge=0, le=1, description="Share of conditions replaced by the constant prompt."
    )
    alignment: None = Field(None, description="A U-Net has no tokens to align.")

    @property
    def starts_from(self) -> str | None:
        """Which of `weights` its training starts from; none from scratch."""
        return self.weights


class IMPA(_Generator):
    """IMPA: an adversarial generator from images of controls to images of treated cells."""

    path: ClassVar[Path] = ADVERSARIAL
    presets: ClassVar[Mapping[str, Any]] = IMPA_PRESETS
    # Measured (docs/training.md): four networks, some of them several times.
    training_passes: ClassVar[float] = 16

    kind: Literal["impa"]
    architecture: str = Field("IMPA", description="A preset's name.")
    condition: Name | None = Field(
        None, description="One of `conditions`; null: a vector learnt per perturbation."
    )
    labels: tuple[Label, ...] = ("perturbation",)
    label_dropout: float = Field(0.0, ge=0, le=0, description="IMPA drops no labels.")
    noise_width: PositiveInt = Field(
        16,
        description="Numbers from N(0, 1) beside the condition, from which a style is made: 16 for "
        "six drugs, 8 for all of BBBC021, 20 for cpg0000 (IMPA).",
    )
    gradient_penalty: float = Field(
        1.0, ge=0, description="Weight of the discriminator's penalty R1 on real images (IMPA)."
    )
    style_weight: float = Field(
        1.0, ge=0, description="Weight of the error of the style that an image shows (IMPA)."
    )
    cycle_weight: float = Field(
        1.0, ge=0, description="Weight of the error of a control, restored from its image (IMPA)."
    )
    diversity_weight: float = Field(
        1.0, ge=0, description="Weight of the difference of two images of a control (IMPA)."
    )
    diversity_steps: PositiveInt = Field(
        100_000, description="The step at which `diversity_weight` has decayed to 0 (IMPA)."
    )
    alignment: None = Field(None, description="IMPA aligns no tokens.")

    @property
    def starts_from_controls(self) -> bool:
        """Whether images are made from control images, and not from noise alone."""
        return True

    @property
    def adds_noise_to_controls(self) -> bool:
        """Whether sampling adds noise to the control images that it starts from."""
        return False


Generator = Annotated[SiT | FlowUNet | CellFlux | UNet | IMPA, Field(discriminator="kind")]
