"""The model card of a checkpoint."""

from importlib.metadata import version

from torch import nn

from morphpipe.core.devices import best_device, uses_bfloat16
from morphpipe.perturbations.vocabulary import Vocabulary
from morphpipe.training.settings import TrainingSettings
from morphpipe.training.turns import OPTIMIZERS

_CARD = """\
# {experiment}, training seed {seed}, step {step}

A generator of cell images made by morphpipe {morphpipe} (torch {torch}).

| | |
|---|---|
| network | {architecture}, {parameters:.1f} M parameters |
| images | {channels}; mode `{mode}`, autoencoder `{autoencoder}` |
| trained on | {fields} fields of view, {perturbations} perturbations, {cell_types} cell types |
| condition | {condition} |
| alignment | {alignment} |
| steps | {step} of {steps}, global batch {batch} |
| optimizer | {optimizer}, learning rate {rate}, betas {betas}, weight decay {decay}, clip {clip} |
| average | {average} |
| precision | {precision} |

Cell types: {cell_type_names}.

## Use

Research on generative models of cell morphology. Generated images are not measurements: read the
report's comparison with the real-vs-real floor before drawing conclusions from them. The
licence of the training images holds for the weights as far as it says so.

## Files

`ema.safetensors`: averaged weights, used for sampling. `model.safetensors`,
`optimizer.safetensors`, `state.json`: what training needs to go on. `log.csv`: loss by step.
`vocabulary.json`: labels by number.

    morphpipe generate --help
"""


def model_card(
    settings: TrainingSettings, vocabulary: Vocabulary, step: int, fields: int, model: nn.Module
) -> str:
    """Render a checkpoint's model card as Markdown."""
    training, alignment = settings.training, settings.generator.alignment
    return _CARD.format(
        experiment=settings.experiment,
        seed=settings.seed,
        step=step,
        morphpipe=version("morphpipe"),
        torch=version("torch"),
        architecture=settings.generator.architecture,
        parameters=sum(p.numel() for p in model.parameters()) / 1e6,
        channels=", ".join(settings.channels),
        mode=settings.image_mode,
        autoencoder=settings.autoencoder,
        fields=fields,
        perturbations=len(vocabulary.perturbations),
        cell_types=len(vocabulary.cell_types),
        condition=f"`{settings.generator.condition}` (`conditions.parquet`)"
        if settings.generator.condition
        else "a vector learnt per perturbation",
        alignment="none"
        if alignment is None
        else f"`{alignment.encoder}` {alignment.place}, weight {alignment.weight}",
        steps=training.steps,
        batch=training.batch_size,
        optimizer=OPTIMIZERS[training.optimizer].__name__,
        rate=training.learning_rate,
        betas=training.betas,
        decay=training.weight_decay,
        clip=training.gradient_clip,
        average=f"exponential, decay {training.ema_decay:g}"
        if training.ema_deviation is None
        else f"power function, relative standard deviation {training.ema_deviation:g}",
        precision="bf16" if uses_bfloat16(training.precision, best_device()) else "fp32",
        cell_type_names=", ".join(vocabulary.cell_types),
    )
