"""Autoencoders (images to latents) and encoders (images to features)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from morphpipe.config.base import ImageMode, Model, Name, PositiveInt, Seed


class _Autoencoder(Model):
    """What the settings of all autoencoders answer."""

    @property
    def trained_on(self) -> str | None:
        """The split that it is trained on; None for one that is not trained here."""
        return None

    @property
    def weights_name(self) -> str | None:
        """Which of `weights` it has; None for one without pretrained weights."""
        return None


class PretrainedAutoencoder(_Autoencoder):
    """An AutoencoderKL with declared weights."""

    origin: Literal["pretrained"]
    weights: Name = Field(description="One of `weights`.")
    scaling_factor: float | None = Field(
        None,
        description="Latents are multiplied by this; none takes the one in the weights' own "
        "config.json (0.18215 for Stable Diffusion's).",
    )
    batch_size: PositiveInt = Field(8, description="Fields encoded or decoded at once.")

    @property
    def weights_name(self) -> str:
        """Which of `weights` it has."""
        return self.weights

    @property
    def downsampling(self) -> int | None:
        """Reduction of height and width: known only from the weights' own configuration."""
        return None


class TrainedAutoencoder(_Autoencoder):
    """A small AutoencoderKL that the workflow trains itself on the data at hand."""

    origin: Literal["trained"]
    split: Name = Field(description="One of `splits`; the autoencoder sees its `train` fields.")
    image_mode: ImageMode = Field(
        "channels",
        description="What it learns to encode: single planes, or the RGB rendering of fields.",
    )
    block_out_channels: list[PositiveInt] = Field(default_factory=lambda: [16, 48, 64, 96])
    layers_per_block: PositiveInt = 1
    latent_channels: PositiveInt = 4
    norm_num_groups: PositiveInt = 8
    steps: PositiveInt = Field(2000, description="Optimizer steps.")
    batch_size: PositiveInt = Field(24, description="Planes per step.")
    crop: PositiveInt = Field(64, description="Side of the random crops it sees, pixels.")
    learning_rate: float = Field(1e-3, gt=0)
    kl_weight: float = Field(
        2e-7, ge=0, description="Beside a mean squared error: small, or fine detail drowns."
    )
    edge_weight: float = Field(
        1.0,
        ge=0,
        description="Weight of the squared difference of image gradients beside that of "
        "intensities: keeps borders sharp where squared error alone blurs them.",
    )
    texture_weight: float = Field(
        0.0,
        ge=0,
        description="Weight of the squared difference of log texture energies, the local "
        "variances of fine detail: what cannot be reconstructed is replaced by texture of "
        "the same strength, where squared error alone leaves it out. 0 is off.",
    )
    seed: Seed = 0

    @model_validator(mode="after")
    def _has_room_for_texture(self) -> "TrainedAutoencoder":
        if self.texture_weight and self.crop < 12:
            raise ValueError("texture_weight needs a crop of at least 12 pixels")
        return self

    @property
    def trained_on(self) -> str:
        """The split that it is trained on."""
        return self.split

    @property
    def scaling_factor(self) -> None:
        """Latents are scaled as the weights' own config.json says."""
        return None

    @property
    def downsampling(self) -> int:
        """Reduction of height and width."""
        return int(2 ** (len(self.block_out_channels) - 1))


class PixelAutoencoder(_Autoencoder):
    """No autoencoder: generators see the pixels themselves."""

    origin: Literal["pixels"]
    patch: PositiveInt = Field(
        1,
        description="Side of the square of pixels that becomes one place of patch² times as many "
        "channels; height and width have to be multiples of it.",
    )
    batch_size: PositiveInt = Field(256, description="Fields converted at once.")

    @property
    def scaling_factor(self) -> None:
        """Pixels are scaled to [-1, 1]."""
        return None

    @property
    def downsampling(self) -> int:
        """Reduction of height and width."""
        return self.patch


Autoencoder = Annotated[
    PretrainedAutoencoder | TrainedAutoencoder | PixelAutoencoder, Field(discriminator="origin")
]


class OpenPhenomEncoder(Model):
    """OpenPhenom (CA-MAE ViT-S/16)."""

    features: ClassVar[int] = 384
    """Numbers per image."""

    kind: Literal["openphenom"]
    weights: Name = Field(description="One of `weights`.")
    norm: Literal["tile", "image"] = Field(
        "tile",
        description="Over what each channel is normalised to mean 0 and deviation 1: every tile "
        "of 256x256 pixels by itself, as the published network does, or the whole image before "
        "it is cut into tiles.",
    )
    channels: Literal["average", "concatenate"] = Field(
        "average",
        description="What the tokens of the channels become, which a generator is aligned with: "
        "their average (384 numbers), or all of them (2,304 for six channels).",
    )
    batch_size: PositiveInt = 16


class InceptionEncoder(Model):
    """Inception v3 with the FID weights, through torch-fidelity (pool3, 2,048 features)."""

    features: ClassVar[int] = 2048
    """Numbers per image."""

    kind: Literal["inception"]
    weights: Name = Field(description="One of `weights`.")
    batch_size: PositiveInt = 64


class ResNet18Encoder(Model):
    """ResNet-18 trained by the workflow to tell conditions apart, on fields of one side."""

    features: ClassVar[int] = 512
    """Numbers per image."""

    kind: Literal["resnet18"]
    split: Name = Field(description="One of `splits`.")
    side: Literal["train", "encoder"] = Field(
        "encoder", description="`encoder` keeps it apart from training and evaluation."
    )
    image_mode: ImageMode = Field(
        "channels",
        description="What it sees: all channels (views `all` and each channel), or the RGB "
        "rendering (view `rgb`), which is all that a generator of RGB images can be judged by.",
    )
    epochs: PositiveInt = 12
    training_batch_size: PositiveInt = 32
    learning_rate: float = Field(1e-3, gt=0)
    channel_dropout: float = Field(
        0.3, ge=0, le=1, description="Share of images of which it sees one channel alone."
    )
    seed: Seed = 0
    batch_size: PositiveInt = 64
    threads: PositiveInt = Field(8, description="Cores of its training.")


Encoder = Annotated[
    OpenPhenomEncoder | InceptionEncoder | ResNet18Encoder, Field(discriminator="kind")
]
