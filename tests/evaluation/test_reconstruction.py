from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from morphpipe.autoencoders.load import load_autoencoder
from morphpipe.core.errors import DataError
from morphpipe.evaluation.reconstruction import mean_squared_errors, reconstruction_rows
from morphpipe.imaging.rgb import rxrx1_to_rgb
from morphpipe.tables.archive import read_fields, write_archive
from morphpipe.tables.metric_table import metric_table

CONTEXT = {"dataset": "screen", "experiment": "test", "generator": "SiT"}
SETTINGS = {"context": CONTEXT, "fields_at_most": 200, "batch_size": 3, "seed": 2020}
RXRX1 = ("DNA", "ER", "actin", "RNA", "mito", "Golgi")
SHIPPED = Path(__file__).resolve().parents[2] / "weights" / "simulated-autoencoder"


@dataclass
class Brightening:
    """Gives planes back a known number of grey values brighter, the second plane twice as much."""

    mode: str
    by: int

    def moments(self, images):
        return torch.stack([images.float(), torch.zeros_like(images, dtype=torch.float32)], dim=1)

    def decode(self, latents, channels):
        assert latents.shape[1] == channels
        added = torch.full((channels, 1, 1), self.by)
        added[1] *= 2
        return (latents + added).clamp(0, 255).to(torch.uint8)


@pytest.fixture
def fields(make_fields, make_row, tmp_path):
    rows = [make_row(f"f{i}", well=f"w{i // 2}", cell_type="A" if i < 4 else "B") for i in range(8)]
    table, images = make_fields(tmp_path / "f.zip", 8, names=RXRX1, rows=rows)
    return table, images


def row(table, view, cell_type="all"):
    chosen = table[(table["view"] == view) & (table["cell_type"] == cell_type)]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_errors_are_of_intensities_from_0_to_1():
    left = np.zeros((2, 3, 4), np.uint8)
    right = left.copy()
    right[1, 0, 0] = 255
    assert mean_squared_errors(left, right).tolist() == [0, 1 / 12]


def test_known_errors_are_found(fields):
    table, images = fields
    rows = reconstruction_rows(
        table,
        [Brightening("channels", 3), Brightening("rgb", 1)],
        autoencoder="known",
        **SETTINGS,
    )
    found = metric_table(rows).to_pandas()
    assert set(found["extractor"]) == {"known"}

    def error(left, right):
        return ((left.astype(float) - right) ** 2).mean() / 255**2

    added = np.array([3, 6, 3, 3, 3, 3])[:, None, None]
    back = np.minimum(images + added.astype(int), 255).astype(np.uint8)
    assert row(found, "channels")["value"] == pytest.approx(error(back, images))
    for place, name in enumerate(RXRX1):
        of_channel = error(back[:, place], images[:, place])
        assert row(found, name)["value"] == pytest.approx(of_channel)
    rendered = rxrx1_to_rgb(images)
    as_rgb = error(rxrx1_to_rgb(back), rendered)
    assert row(found, "channels-to-rgb")["value"] == pytest.approx(as_rgb)
    brighter = np.minimum(rendered + np.array([1, 2, 1]), 255)
    assert row(found, "rgb")["value"] == pytest.approx(error(brighter, rendered))
    of_type = row(found, "channels", "B")
    assert of_type["value"] == pytest.approx(error(back[4:], images[4:]))
    assert of_type["n_left"] == 4
    assert of_type["ci_low"] <= of_type["value"] <= of_type["ci_high"]


def test_no_rgb_rendering_is_said_and_fields_are_drawn(make_fields, tmp_path):
    table, _ = make_fields(tmp_path / "f.zip", 6)
    autoencoders = [Brightening("channels", 3), Brightening("rgb", 1)]
    rows = reconstruction_rows(
        table, autoencoders, autoencoder="known", **SETTINGS | {"fields_at_most": 4}
    )
    found = metric_table(rows).to_pandas()
    assert found[found["value"].isna()]["view"].tolist() == ["rgb", "channels-to-rgb"]
    assert row(found, "channels")["n_left"] == 4
    # All from one well.
    assert np.isnan(row(found, "channels")["ci_low"])
    with pytest.raises(DataError, match="at least one"):
        reconstruction_rows(table.take([]), autoencoders, autoencoder="known", **SETTINGS)


def test_a_real_autoencoder_reconstructs_better_than_a_flat_image(make_fields, make_row, tmp_path):
    y, x = np.mgrid[:32, :32]
    table, _ = make_fields(tmp_path / "f.zip", 1, names=RXRX1, size=(32, 32))
    smooth = (100 + 80 * np.sin(x / 6) * np.cos(y / 7)).astype(np.uint8)

    with write_archive(tmp_path / "smooth.zip", table.manifest) as archive:
        archive.add(make_row("f0"), np.stack([smooth] * 6))
    fields = read_fields(tmp_path / "smooth.zip")
    found = metric_table(
        reconstruction_rows(
            fields, [load_autoencoder(SHIPPED, "channels")], autoencoder="shipped", **SETTINGS
        )
    ).to_pandas()
    flat = smooth.astype(float).var() / 255**2
    # Waves are no cells, and the shipped autoencoder lends them some of the texture of cells.
    assert 0 < row(found, "channels")["value"] < 0.2 * flat
