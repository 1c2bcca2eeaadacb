import numpy as np
import pytest
import torch

from morphpipe.core.errors import DataError
from morphpipe.generators.alignment import Projector, alignment_loss


def test_loss_is_the_mean_negative_cosine():
    projected, targets = np.random.default_rng(0).normal(size=(2, 3, 5, 4))
    cosines = [
        p @ t / np.linalg.norm(p) / np.linalg.norm(t)
        for p, t in zip(projected.reshape(-1, 4), targets.reshape(-1, 4), strict=True)
    ]
    loss = alignment_loss(torch.tensor(projected), torch.tensor(targets))
    assert loss.item() == pytest.approx(-np.mean(cosines), rel=1e-5)


def test_loss_is_bounded_and_ignores_lengths():
    targets = torch.randn(2, 3, 4)
    assert alignment_loss(7 * targets, targets.half()).item() == pytest.approx(-1, abs=1e-3)
    assert alignment_loss(-targets, targets).item() == pytest.approx(1, abs=1e-6)


def test_shapes_must_agree():
    with pytest.raises(DataError, match="grid"):
        alignment_loss(torch.zeros(2, 9, 4), torch.zeros(2, 16, 4))


def test_projector_has_three_layers():
    projector = Projector(1152, 384)
    assert sum(w.numel() for w in projector.parameters()) == (
        (1152 + 1) * 2048 + (2048 + 1) * 2048 + (2048 + 1) * 384
    )
