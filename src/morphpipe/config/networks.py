"""Autoencoders (images to latents) and encoders (images to features)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from morphpipe.config.base import ImageMode, Model, Name, PositiveInt, Seed


class _Autoencoder(Model):
    """Base class of autoencoder settings."""

    @property
    def trained_on(self) -> str | None:
        """The split that it is trained on; None if the workflow does not train it."""
        return None

    @property
    def weights_name(self) -> str | None:
        """Its entry in `weights`; None without pretrained weights."""
        return None


class PretrainedAutoencoder(_Autoencoder):
    """An AutoencoderKL with pretrained weights."""

    origin: Literal["pretrained"]
    weights: Name = Field(description="One of `weights`.")
    scaling_factor: float | None = Field(
        None,
        description="Factor that latents are multiplied by; null: the one in config.json of the "
        "weights (0.18215 for Stable Diffusion).",
    )
    batch_size: PositiveInt = Field(8, description="Fields per batch.")

    @property
    def weights_name(self) -> str:
        """Its entry in `weights`."""
        return self.weights

    @property
    def downsampling(self) -> int | None:
        """Downsampling factor: only known from the weights' configuration."""
        return None


class TrainedAutoencoder(_Autoencoder):
    """A small AutoencoderKL that the workflow trains on the dataset."""

    origin: Literal["trained"]
    split: Name = Field(description="One of `splits`; the autoencoder sees its `train` fields.")
    image_mode: ImageMode = Field(
        "channels",
        description="Encode single planes, or RGB renderings of fields.",
    )
    block_out_channels: list[PositiveInt] = Field(default_factory=lambda: [16, 48, 64, 96])
    layers_per_block: PositiveInt = 1
    latent_channels: PositiveInt = 4
    norm_num_groups: PositiveInt = 8
    steps: PositiveInt = Field(2000, description="Optimizer steps.")
    batch_size: PositiveInt = Field(24, description="Planes per step.")
    crop: PositiveInt = Field(64, description="Size of the random training crops, pixels.")
    learning_rate: float = Field(1e-3, gt=0)
    kl_weight: float = Field(
        2e-7,
        ge=0,
        description="Weight of the KL term relative to the mean squared error; large values lose "
        "fine detail.",
    )
    edge_weight: float = Field(
        1.0,
        ge=0,
        description="Weight of the squared error of image gradients, which keeps edges sharp that "
        "the squared error of intensities alone blurs.",
    )
    texture_weight: float = Field(
        0.0,
        ge=0,
        description="Weight of the squared error of log texture energies (local variances of fine "
        "detail): detail that cannot be reconstructed is replaced by texture of the same "
        "strength, where the squared error alone removes it. 0 is off.",
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
        """None: the factor is in config.json of the weights."""
        return None

    @property
    def downsampling(self) -> int:
        """Downsampling factor of height and width."""
        return int(2 ** (len(self.block_out_channels) - 1))


class PixelAutoencoder(_Autoencoder):
    """No autoencoder: generators use the pixels."""

    origin: Literal["pixels"]
    patch: PositiveInt = Field(
        1,
        description="Size of the squares of pixels that are folded into one position with patch² "
        "times as many channels; height and width must be multiples of it.",
    )
    batch_size: PositiveInt = Field(256, description="Fields per batch.")

    @property
    def scaling_factor(self) -> None:
        """None: pixels are scaled to [-1, 1]."""
        return None

    @property
    def downsampling(self) -> int:
        """Downsampling factor of height and width."""
        return self.patch


Autoencoder = Annotated[
    PretrainedAutoencoder | TrainedAutoencoder | PixelAutoencoder, Field(discriminator="origin")
]


class OpenPhenomEncoder(Model):
    """OpenPhenom (CA-MAE ViT-S/16)."""

    features: ClassVar[int] = 384
    """Number of features per image."""

    kind: Literal["openphenom"]
    weights: Name = Field(description="One of `weights`.")
    norm: Literal["tile", "image"] = Field(
        "tile",
        description="Normalise each channel to mean 0 and standard deviation 1 per tile of 256x256 "
        "pixels, as the published network does, or over the whole image before tiling.",
    )
    channels: Literal["average", "concatenate"] = Field(
        "average",
        description="How the tokens of the channels are combined for alignment: averaged (384 "
        "features), or concatenated (2,304 for six channels).",
    )
    batch_size: PositiveInt = 16


class InceptionEncoder(Model):
    """Inception v3 with the FID weights, through torch-fidelity (pool3, 2,048 features)."""

    features: ClassVar[int] = 2048
    """Number of features per image."""

    kind: Literal["inception"]
    weights: Name = Field(description="One of `weights`.")
    batch_size: PositiveInt = 64


class ResNet18Encoder(Model):
    """ResNet-18 that the workflow trains to classify conditions, on fields of one side."""

    features: ClassVar[int] = 512
    """Number of features per image."""

    kind: Literal["resnet18"]
    split: Name = Field(description="One of `splits`.")
    side: Literal["train", "encoder"] = Field(
        "encoder", description="`encoder` is disjoint from training and test fields."
    )
    image_mode: ImageMode = Field(
        "channels",
        description="Input: all channels (views `all` and each channel), or the RGB rendering "
        "(view `rgb`), the only one for generators of RGB images.",
    )
    epochs: PositiveInt = 12
    training_batch_size: PositiveInt = 32
    learning_rate: float = Field(1e-3, gt=0)
    channel_dropout: float = Field(
        0.3, ge=0, le=1, description="Fraction of training images reduced to one channel."
    )
    seed: Seed = 0
    batch_size: PositiveInt = 64
    threads: PositiveInt = Field(8, description="CPU cores for training.")


Encoder = Annotated[
    OpenPhenomEncoder | InceptionEncoder | ResNet18Encoder, Field(discriminator="kind")
]
