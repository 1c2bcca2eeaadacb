"""IMPA: images of controls are given the style of a perturbation (Palma et al. 2025).

The networks and losses are StarGAN v2's (Choi et al. 2020, arXiv:1912.01865): an image of a control
is transformed to a style, which a mapping network makes from the perturbation and noise; a
discriminator with an output per perturbation tells real from transformed images; and a style
encoder reads the style of an image. Written from the papers; docs/fidelity.md has the differences.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from morphpipe.config.generators import IMPA as Settings
from morphpipe.config.impa_presets import IMPA_PRESETS
from morphpipe.config.sampling import Sampling
from morphpipe.core.errors import ConfigError
from morphpipe.generators.base import Condition, Generator, Losses, TrainingBatch
from morphpipe.generators.impa_networks import Judge, Transformation
from morphpipe.generators.layers import LabelTable
from morphpipe.perturbations.vocabulary import Vocabulary
from morphpipe.transport.noise import NoiseSource

# Turns of a step.
DISCRIMINATOR, GENERATOR = "discriminator", "generator"


class GivenEmbedding(nn.Module):
    """Embeddings [N, d] as they are; the null class has a learnt vector."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.null = nn.Parameter(torch.zeros(width))

    def forward(self, embedding: Tensor, drop: Tensor | None = None) -> Tensor:
        """Give embeddings [N, d]; the null vector where `drop` [N] is true."""
        given = embedding.to(self.null.dtype)
        return given if drop is None else torch.where(drop[:, None], self.null, given)


class IMPA(Generator):
    """IMPA's four networks with their losses.

    Parameters
    ----------
    settings
        Architecture, labels, width of the noise, weights of the losses.
    perturbations, cell_types, batches
        Number of classes, without the null class.
    shape
        [C, h, w] of an image.
    condition_width
        Width of perturbation embeddings, which the mapping network gets as they are; None for a
        vector learnt per perturbation.
    gradient_checkpointing
        Recompute blocks of the transformation in the backward pass.

    Raises
    ------
    ConfigError
        If images are too small.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        perturbations: int,
        cell_types: int,
        batches: int,
        shape: tuple[int, int, int],
        condition_width: int | None = None,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        preset = IMPA_PRESETS[settings.architecture]
        channels, height, width = shape
        _check_size(settings, shape)
        self.settings = settings
        style, labels = preset.style, settings.labels
        self.perturbation: LabelTable | GivenEmbedding | None = None
        if "perturbation" in labels:
            self.perturbation = (
                LabelTable(perturbations, style)
                if condition_width is None
                else GivenEmbedding(condition_width)
            )
        self.cell_type = LabelTable(cell_types, style) if "cell_type" in labels else None
        self.batch = LabelTable(batches, style) if "batch" in labels else None
        of_perturbation = style if condition_width is None else condition_width
        inputs = sum(of_perturbation if name == "perturbation" else style for name in labels)
        self.mapping = nn.Sequential(
            nn.Linear(inputs + settings.noise_width, preset.hidden),
            nn.ReLU(),
            nn.Linear(preset.hidden, style),
        )
        self.transformation = Transformation(
            channels,
            preset.width,
            preset.halvings,
            preset.middle_blocks,
            style,
            gradient_checkpointing=gradient_checkpointing,
        )
        widest = preset.width * 2**preset.halvings
        size = (height, width)
        self.style_encoder = Judge(channels, size, preset.width, widest, style)
        self.discriminator = Judge(channels, size, preset.width, widest, perturbations)

    def turns(self) -> Mapping[str, list[nn.Parameter]]:
        """The discriminator, and then all that it is trained against, as in StarGAN v2."""
        discriminator = list(self.discriminator.parameters())
        of_discriminator = set(discriminator)
        others = [p for p in self.parameters() if p not in of_discriminator]
        return {DISCRIMINATOR: discriminator, GENERATOR: others}

    def turn_losses(self, batch: TrainingBatch, turn: str) -> Losses:
        """Compute the losses of a turn.

        The batch has treated images as data, and controls as the other end. The discriminator
        judges by the index of the perturbation, also where styles are made from embeddings. The
        noise of styles is drawn from torch's global generator.
        """
        losses = {
            DISCRIMINATOR: self.discriminator_losses,
            GENERATOR: self.generator_losses,
        }
        return losses[turn](batch)

    def discriminator_losses(self, batch: TrainingBatch) -> Losses:
        """Cross-entropy of real and transformed images, and the penalty R1.

        R1 is half of the squared norm of the gradient by real images (Mescheder et al. 2018,
        arXiv:1801.04406, equation 9).
        """
        treated = batch.latents.detach().requires_grad_()
        judged = self._judge(treated, batch)
        (gradient,) = torch.autograd.grad(judged.sum(), treated, create_graph=True)
        penalty = _precise(gradient).square().flatten(1).sum(dim=1).mean() / 2
        with torch.no_grad():
            made = self.transformation(batch.noise, self.style(batch.condition, batch.drop))
        real, false = _cross_entropy(judged, 1.0), _cross_entropy(self._judge(made, batch), 0.0)
        total = real + false + self.settings.gradient_penalty * penalty
        return _losses(total, real=real, made=false, gradient_penalty=penalty)

    def generator_losses(self, batch: TrainingBatch) -> Losses:
        """What transformed images are to be: taken for real, in their style, reversible, diverse.

        StarGAN v2, equations 1 to 5.
        """
        settings, control = self.settings, batch.noise
        style = self.style(batch.condition, batch.drop)
        made = self.transformation(control, style)
        adversarial = _cross_entropy(self._judge(made, batch), 1.0)
        shown = _distance(self.style_encoder(made), style)
        restored = self.transformation(made, self.style_encoder(control))
        cycle = _distance(restored, control)
        total = adversarial + settings.style_weight * shown + settings.cycle_weight * cycle
        diversity, weight = torch.full_like(total, float("nan")), self.diversity_weight(batch.step)
        if weight > 0:
            other = self.transformation(control, self.style(batch.condition, batch.drop))
            diversity = _distance(made, other)
            total = total - weight * diversity
        return _losses(
            total, adversarial=adversarial, style=shown, cycle=cycle, diversity=diversity
        )

    def diversity_weight(self, step: int) -> float:
        """Weight of the diversity at a step: it decays linearly to 0."""
        left = max(0.0, 1 - step / self.settings.diversity_steps)
        return self.settings.diversity_weight * left

    def style(
        self, condition: Condition, drop: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """Make styles.

        Parameters
        ----------
        condition
            Conditions of N images.
        drop
            bool [N, 3]; where true, the perturbation (first column), the cell type (second) or the
            batch (third) is replaced by its null class. None: nowhere.
        noise
            float [N, noise_width], standard normal; None draws it.

        Returns
        -------
        Tensor
            [N, S].

        Raises
        ------
        ConfigError
            If the generator is conditioned on embeddings, and the condition has none.
        """
        batch = condition.batch
        if batch is None and self.batch is not None:
            batch = torch.full_like(condition.cell_type, self.batch.num_embeddings - 1)
        tables = (self.perturbation, self.cell_type, self.batch)
        embedded = isinstance(self.perturbation, GivenEmbedding)
        perturbation = condition.perturbation_input(embedded=embedded)
        values = (perturbation, condition.cell_type, batch)
        parts = [
            table(value, None if drop is None else drop[:, column])
            for column, (table, value) in enumerate(zip(tables, values, strict=True))
            if table is not None
        ]
        if noise is None:
            shape = (len(condition.cell_type), self.settings.noise_width)
            first = next(self.mapping.parameters())
            noise = torch.randn(shape, device=first.device, dtype=first.dtype)
        made: Tensor = self.mapping(torch.cat([*parts, noise], dim=1))
        return made

    def sample(
        self,
        noise: NoiseSource,
        condition: Condition,
        settings: Sampling,
        *,
        guide: Generator | None = None,
        half: bool = False,
    ) -> Tensor:
        """Transform controls, the initial state, with styles from the noise of step 1.

        See `Generator.sample`. One pass: of the settings nothing is read, and there is no guidance.
        """
        del settings, guide
        control, width = noise(0), self.settings.noise_width
        with torch.inference_mode(), torch.autocast(control.device.type, torch.bfloat16, half):
            style = self.style(condition, noise=noise(1).flatten(1)[:, :width])
            made: Tensor = self.transformation(control, style)
            return made.float()

    def _judge(self, images: Tensor, batch: TrainingBatch) -> Tensor:
        """Logits [N] that images are real ones of their perturbation."""
        outputs: Tensor = self.discriminator(images)
        return outputs.gather(1, batch.condition.perturbation[:, None])[:, 0]


def _cross_entropy(logits: Tensor, real: float) -> Tensor:
    logits = _precise(logits)
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, real))


def _distance(left: Tensor, right: Tensor) -> Tensor:
    return F.l1_loss(_precise(left), _precise(right))


def _precise(x: Tensor) -> Tensor:
    """The numbers in float32 where they are in half precision."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def _losses(total: Tensor, **parts: Tensor) -> Losses:
    return Losses(total, parts={name: part.detach() for name, part in parts.items()})


def _check_size(settings: Settings, shape: tuple[int, int, int]) -> None:
    channels, height, width = shape
    stride = 2 ** IMPA_PRESETS[settings.architecture].halvings
    if height * width <= stride**2:
        raise ConfigError(
            f"{settings.architecture} halves images until they are {stride} times smaller, but "
            f"these are {height}x{width}: choose larger images, or another architecture."
        )
    if channels * height * width < settings.noise_width:
        raise ConfigError(
            f"generator.noise_width is {settings.noise_width}, but images have only "
            f"{channels * height * width} numbers, as many as are drawn for one: choose fewer."
        )


def build(
    settings: Settings,
    vocabulary: Vocabulary,
    latent_shape: tuple[int, int, int],
    *,
    condition_width: int | None,
    gradient_checkpointing: bool,
    **_: Any,
) -> IMPA:
    """Build IMPA's networks; see `registry.build_generator`."""
    return IMPA(
        settings,
        perturbations=len(vocabulary.perturbations),
        cell_types=len(vocabulary.cell_types),
        batches=len(vocabulary.batches),
        shape=latent_shape,
        condition_width=condition_width,
        gradient_checkpointing=gradient_checkpointing,
    )


def operations(architecture: str, channels: int, size: int) -> tuple[float, float]:
    """Operations of the transformation of one image, and parameters of all networks."""
    settings = Settings(kind="impa", architecture=architecture)
    size = max(size, 2 ** (IMPA_PRESETS[architecture].halvings + 1))
    with torch.device("meta"):
        built = IMPA(
            settings, perturbations=1, cell_types=1, batches=0, shape=(channels, size, size)
        )
        label = torch.zeros(1, dtype=torch.int64)
        with FlopCounterMode(display=False) as counter:
            style = built.style(Condition(label, label))
            built.transformation(torch.empty(1, channels, size, size), style)
    parameters = sum(parameter.numel() for parameter in built.parameters())
    return float(counter.get_total_flops()), float(parameters)
