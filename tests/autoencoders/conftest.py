import json

import pytest
import torch
from diffusers.models import AutoencoderKL

from morphpipe.autoencoders.training import save_autoencoder


@pytest.fixture(scope="session")
def model():
    """A small AutoencoderKL with random weights: eightfold smaller would be slower to test."""
    torch.manual_seed(0)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        latent_channels=2,
        norm_num_groups=4,
        sample_size=16,
        scaling_factor=0.18215,
    ).eval()


@pytest.fixture
def folder(model, tmp_path):
    """The autoencoder in diffusers' layout."""
    save_autoencoder(model, tmp_path / "autoencoder")
    return tmp_path / "autoencoder"


@pytest.fixture
def change_config(folder):
    """Change the autoencoder's config.json."""

    def change(**values):
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change
