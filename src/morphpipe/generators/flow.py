"""Flow generators: networks that predict the velocity, and their loss.

MorphGen is a SiT on latents of all channels, aligned with an encoder of cell images (section 3 of
its paper); the loss is REPA's: the squared error of the velocity plus a weight times the alignment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from morphpipe.config.generators import CellFlux, FlowUNet, SiT
from morphpipe.config.sampling import Sampling
from morphpipe.core.errors import ConfigError
from morphpipe.generators.alignment import Projector, alignment_loss
from morphpipe.generators.base import Condition, Generator, Losses, TrainingBatch
from morphpipe.generators.layers import EmbeddingProjection, LabelTable, TimeEmbedding
from morphpipe.perturbations.vocabulary import Vocabulary
from morphpipe.transport.interpolant import interpolate, velocity_target
from morphpipe.transport.noise import NoiseSource
from morphpipe.transport.samplers import Velocity
from morphpipe.transport.solve import invert_flow, sample_flow

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


# Below it the velocity is not divided by the time (Li and He 2025, arXiv:2511.13720, section 4).
_LEAST_TIME = 0.05


class FlowNetwork(nn.Module):
    """Predicts the velocity of latents from their state, the time and two labels.

    Shared by all flow networks: the condition is c = e_perturbation + e_celltype + e_t. Each label
    has a null class, learnt by label dropout and used by guidance.

    Parameters
    ----------
    latent_channels
        Channels of the latent; 24 for six stains encoded one by one with four channels each.
    latent_size
        Height and width of the latent, or one number for both.
    gradient_checkpointing
        Recompute blocks in the backward pass: less memory, about a third more time.
    """

    presets: ClassVar[Mapping[str, "DataclassInstance"]]

    def __init__(
        self,
        latent_channels: int,
        latent_size: int | tuple[int, int],
        *,
        gradient_checkpointing: bool,
    ) -> None:
        super().__init__()
        size = (latent_size, latent_size) if isinstance(latent_size, int) else latent_size
        self.latent_channels, self.latent_size = latent_channels, size
        self.gradient_checkpointing = gradient_checkpointing
        self.projector: Projector | None = None

    def embed_conditions(
        self,
        width: int,
        *,
        perturbations: int,
        cell_types: int,
        time_scale: float,
        condition_width: int | None = None,
        normalise_labels: bool = False,
        batches: int = 0,
        labels: Sequence[str] = ("perturbation", "cell_type"),
    ) -> None:
        """Add the embeddings of time and labels.

        Parameters
        ----------
        width
            Width of the condition.
        perturbations, cell_types, batches
            Number of classes, without the null class.
        condition_width
            Width of perturbation embeddings, which replace the learnt table; None for the table, as
            in MorphGen.
        time_scale
            Factor of the time in its sines and cosines; 1 in SiT and REPA.
        normalise_labels
            Divide the sum of the labels' vectors by the square root of their number.
        labels
            Which of `perturbation`, `cell_type` and `batch` are part of the condition.
        """
        self.label_scale = len(labels) ** -0.5 if normalise_labels and labels else 1.0
        self.time = TimeEmbedding(width, scale=time_scale)
        self.perturbation: LabelTable | EmbeddingProjection | None = None
        if "perturbation" in labels:
            self.perturbation = (
                LabelTable(perturbations, width)
                if condition_width is None
                else EmbeddingProjection(condition_width, width)
            )
        self.cell_type = LabelTable(cell_types, width) if "cell_type" in labels else None
        self.batch = LabelTable(batches, width) if "batch" in labels else None

    @classmethod
    def from_preset(cls, name: str, **options: Any) -> Self:
        """Build a size from `presets`; `options` are the other parameters of the class.

        Raises
        ------
        ConfigError
            If the preset is unknown, or the sizes do not fit together.
        """
        if name not in cls.presets:
            raise ConfigError(
                f'Unknown preset "{name}" of {cls.__name__}; choose from {", ".join(cls.presets)}.'
            )
        return cls(**asdict(cls.presets[name]), **options)

    @property
    def repeated(self) -> list[nn.Module]:
        """The modules to be compiled one by one."""
        raise NotImplementedError

    def condition(
        self,
        time: Tensor,
        perturbation: Tensor,
        cell_type: Tensor,
        drop: Tensor | None,
        batch: Tensor | None,
    ) -> Tensor:
        """Return the condition [N, width], activated (SiLU) as every modulation begins with it."""
        if self.batch is not None and batch is None:
            batch = torch.full_like(cell_type, self.batch.num_embeddings - 1)
        embedded = self.time(time)
        labels: Tensor | None = None
        for column, (table, values) in enumerate(
            ((self.perturbation, perturbation), (self.cell_type, cell_type), (self.batch, batch))
        ):
            if table is not None and values is not None:
                label = table(values, None if drop is None else drop[:, column])
                labels = label if labels is None else labels + label
        if labels is not None:
            embedded = embedded + self.label_scale * labels
        return F.silu(embedded)

    def check_latents(self, x: Tensor) -> None:
        """Raise ConfigError for latents of another size."""
        if x.shape[1:] != (self.latent_channels, *self.latent_size):
            raise ConfigError(
                f"This {type(self).__name__} was built for latents of {self.latent_channels} "
                f"channels and {self.latent_size[0]}x{self.latent_size[1]}, not "
                f"{tuple(x.shape[1:])}."
            )

    def forward(
        self,
        x: Tensor,
        time: Tensor,
        perturbation: Tensor,
        cell_type: Tensor,
        drop: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        """Predict the velocity at a state.

        Parameters
        ----------
        x
            float [N, C, h, w].
        time
            float [N], 1 is noise and 0 data.
        perturbation
            int64 [N], or the embeddings, float [N, d].
        cell_type
            int64 [N].
        drop
            bool [N, 3]; where true, the perturbation (first column), the cell type (second) or the
            batch (third) is replaced by its null class.
        batch
            int64 [N]; None for the null class. Ignored without a table of batches.

        Returns
        -------
        Tensor
            [N, C, h, w].
        """
        return self.forward_with_hidden(x, time, perturbation, cell_type, drop, batch)[0]

    def forward_with_hidden(
        self,
        x: Tensor,
        time: Tensor,
        perturbation: Tensor,
        cell_type: Tensor,
        drop: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Velocity, and hidden tokens [N, T, width] for alignment; see `forward`."""
        raise NotImplementedError


class FlowGenerator(Generator):
    """A network that predicts velocities, with its loss.

    Parameters
    ----------
    network
        With a projector if it is aligned.
    alignment_weight
        Weight of the alignment; 0.5 in MorphGen and REPA.
    predicts_data
        Whether the network gives the data, and not the velocity.
    """

    def __init__(
        self, network: FlowNetwork, *, alignment_weight: float = 0.5, predicts_data: bool = False
    ) -> None:
        super().__init__()
        self.network = network
        self.alignment_weight = alignment_weight
        self.predicts_data = predicts_data

    def compile_blocks(self) -> None:
        """Compile the blocks with torch.compile; equal blocks share code."""
        for block in self.network.repeated:
            # With fixed shapes: inductor fails if blocks see several grids.
            block.compile(dynamic=False)

    def losses(self, batch: TrainingBatch) -> Losses:
        """Squared error of the velocity, and alignment if the network has a projector.

        Raises
        ------
        ConfigError
            If only one of alignment targets and projector is present.
        DataError
            If targets and projected tokens differ in shape.
        """
        projector = self.network.projector
        if (projector is None) != (batch.targets is None):
            raise ConfigError(
                "Alignment needs both a generator with a projector and targets in the batch; only "
                "one of them is present: set the alignment in the configuration, or remove it "
                "altogether."
            )
        x = interpolate(batch.latents, batch.noise, batch.time)
        predicted, hidden = self.network.forward_with_hidden(
            x,
            batch.time,
            self._perturbation(batch.condition),
            batch.condition.cell_type,
            batch.drop,
            batch.condition.batch,
        )
        target = velocity_target(batch.latents, batch.noise)
        velocity = self._velocity(predicted.float(), x, batch.time)
        diffusion = F.mse_loss(velocity, target.float())
        if projector is None or batch.targets is None:
            return Losses(diffusion, diffusion, None)
        alignment = alignment_loss(projector(hidden), batch.targets)
        return Losses(diffusion + self.alignment_weight * alignment, diffusion, alignment)

    def predict(
        self, x: Tensor, time: Tensor, condition: Condition, *, null: bool = False
    ) -> Tensor:
        """Velocity [N, C, h, w] at the state x and time [N], 1 is noise and 0 data."""
        drop = torch.ones(len(x), 3, dtype=torch.bool, device=x.device) if null else None
        perturbation = self._perturbation(condition)
        predicted = self.network(x, time, perturbation, condition.cell_type, drop, condition.batch)
        velocity = self._velocity(predicted, x, time)
        if not self.predicts_data:
            return velocity
        # At t = 0 the data are known, and nothing is known of the noise: E[eps - x | x] = -x.
        return torch.where((time == 0)[:, None, None, None], -x, velocity)

    def _velocity(self, predicted: Tensor, x: Tensor, time: Tensor) -> Tensor:
        """The velocity, from the predicted data where the network gives these."""
        if not self.predicts_data:
            return predicted
        # Towards t = 0 it is 0 divided by 0.
        return (x - predicted) / time.clamp(min=_LEAST_TIME)[:, None, None, None]

    def solve(self, field: Velocity, noise: NoiseSource, settings: Sampling) -> Tensor:
        """Follow the velocity from noise to data."""
        return sample_flow(field, noise, settings)

    def solve_back(self, field: Velocity, data: Tensor, settings: Sampling) -> Tensor:
        """Follow the velocity from data to noise."""
        return invert_flow(field, data, settings)

    def _perturbation(self, condition: Condition) -> Tensor:
        """The labels, or embeddings if the network uses them."""
        embedded = isinstance(self.network.perturbation, EmbeddingProjection)
        return condition.perturbation_input(embedded=embedded)


def build_flow(
    network: type[FlowNetwork],
    settings: SiT | FlowUNet | CellFlux,
    vocabulary: Vocabulary,
    latent_shape: tuple[int, int, int],
    *,
    target_width: int | None,
    weights: None,
    **options: Any,
) -> FlowGenerator:
    """Build a generator around a network; see `registry.build_generator` for the parameters."""
    alignment = settings.alignment
    if alignment is not None and target_width is not None:
        options |= {"alignment_width": target_width, "projector_width": alignment.projector_width}
    built = network.from_preset(
        settings.architecture,
        latent_channels=latent_shape[0],
        latent_size=latent_shape[1:],
        perturbations=len(vocabulary.perturbations),
        cell_types=len(vocabulary.cell_types),
        batches=len(vocabulary.batches),
        labels=settings.labels,
        normalise_labels=settings.normalise_labels,
        **options,
    )
    return FlowGenerator(
        built,
        alignment_weight=0.0 if alignment is None else alignment.weight,
        predicts_data=settings.prediction == "data",
    )


def count_operations(
    network: type[FlowNetwork], architecture: str, channels: int, size: int
) -> tuple[float, float]:
    """Count operations of one forward pass over one latent, and parameters, on meta tensors."""
    with torch.device("meta"):
        built = network.from_preset(
            architecture, latent_channels=channels, latent_size=size, perturbations=1, cell_types=1
        )
        label = torch.zeros(1, dtype=torch.int64)
        with FlopCounterMode(display=False) as counter:
            built(torch.empty(1, channels, size, size), torch.empty(1), label, label)
    parameters = sum(parameter.numel() for parameter in built.parameters())
    return float(counter.get_total_flops()), float(parameters)
