"""Settings that determine the result of a training, with a hash."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from morphpipe.config.base import ImageMode
from morphpipe.config.experiments import Training
from morphpipe.config.fidelity import Fidelity
from morphpipe.config.generators import Generator
from morphpipe.perturbations.vocabulary import Vocabulary

_GENERATOR: TypeAdapter[Generator] = TypeAdapter(Generator)


@dataclass(frozen=True)
class Draws:
    """What is drawn for a training batch, beside its fields.

    Attributes
    ----------
    label_dropout, label_dropout_mode, source_noise
        See `morphpipe.config.generators`.
    time_sampling
        See `morphpipe.transport.interpolant.draw_time`.
    """

    label_dropout: float = 0.0
    label_dropout_mode: str = "joint"
    time_sampling: str = "uniform"
    source_noise: float = 0.5


@dataclass(frozen=True)
class TrainingSettings:
    """One training of one experiment.

    Attributes
    ----------
    experiment
        Its name.
    seed
        Training seed.
    image_mode
        `channels` or `rgb`.
    autoencoder
        The autoencoder's name.
    channels
        Channel names of the images, in order.
    generator, training, fidelity
        From the configuration.
    """

    experiment: str
    seed: int
    image_mode: ImageMode
    autoencoder: str
    channels: tuple[str, ...]
    generator: Generator
    training: Training
    fidelity: Fidelity = field(default_factory=Fidelity)

    @property
    def draws(self) -> Draws:
        """What is drawn for a training batch."""
        return Draws(
            self.generator.label_dropout,
            self.generator.label_dropout_mode,
            self.training.time_sampling,
            getattr(self.generator, "source_noise", 0.0),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "experiment": self.experiment,
            "seed": self.seed,
            "image_mode": self.image_mode,
            "autoencoder": self.autoencoder,
            "channels": list(self.channels),
            "generator": self.generator.model_dump(mode="json"),
            "training": self.training.model_dump(mode="json"),
            "fidelity": self.fidelity.model_dump(mode="json"),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "TrainingSettings":
        """Inverse of `to_dict`."""
        return cls(
            content["experiment"],
            int(content["seed"]),
            content["image_mode"],
            content["autoencoder"],
            tuple(content["channels"]),
            _GENERATOR.validate_python(content["generator"]),
            Training.model_validate(content["training"]),
            Fidelity.model_validate(content.get("fidelity", {})),
        )

    def identity(self, vocabulary: Vocabulary, data: list[str]) -> str:
        """Hash of the relevant settings, the labels and the data's checksums.

        Checkpoints of another identity are not resumed.
        """
        content = self.to_dict()
        content["training"] = self.training.in_weights(self.fidelity)
        content["fidelity"].pop("sampling_noise")
        content["vocabulary"] = [
            vocabulary.perturbations,
            vocabulary.cell_types,
            vocabulary.batches,
        ]
        content["data"] = data
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
