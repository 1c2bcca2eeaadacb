"""What a batch label does on simulated plates, whose shifts are known."""

import numpy as np
import pytest
import torch

from morphpipe.config.generators import FlowUNet, SiT
from morphpipe.config.sampling import Sampling
from morphpipe.datasets.simulated.optics import draw_plate_optics, take_image
from morphpipe.datasets.simulated.render import render_stains
from morphpipe.datasets.simulated.screen import ScreenDesign, plate_layout, simulate_scene
from morphpipe.generators.base import Condition, TrainingBatch
from morphpipe.generators.registry import build_generator
from morphpipe.perturbations.vocabulary import Vocabulary
from morphpipe.transport.noise import SampleNoise

PERTURBATIONS = ("control", "graded-high")
DESIGN = ScreenDesign(
    seed=0, cell_types=("epithelial",), perturbations=PERTURBATIONS, plates=1, replicates=8,
    sites=2, field_size=48,
)  # fmt: skip
PLATES = ("plate-001", "plate-002")
# Drawn as the plates of a screen are; of 60 the two that differ most.
OPTICS = [draw_plate_optics(np.random.default_rng(seed)) for seed in (32, 37)]
SHAPE = (6, 4, 4)


@pytest.fixture(scope="module")
def screen():
    """Log intensities of small squares [n, 6, 4, 4], standardised, with perturbation and plate.

    The same cells are on both plates, so that these differ in their optics alone.
    """
    images, perturbations, plates = [], [], []
    for well in plate_layout(DESIGN, 1):
        for site in (1, 2):
            light = render_stains(simulate_scene(DESIGN, well, site), np.random.default_rng(0))
            for plate, optics in enumerate(OPTICS):
                image = take_image(light, optics, np.random.default_rng(0)).astype(np.float32)
                squares = image.reshape(6, 4, 12, 4, 12).mean(axis=(2, 4))
                images.append(np.log(squares))
                perturbations.append(PERTURBATIONS.index(well.perturbation))
                plates.append(plate)
    values = torch.from_numpy(np.stack(images))
    scale = values.std(dim=(0, 2, 3), keepdim=True)
    values = (values - values.mean(dim=(0, 2, 3), keepdim=True)) / scale
    return values, torch.tensor(perturbations), torch.tensor(plates), scale.flatten().numpy()


@pytest.fixture(
    scope="module",
    params=[(FlowUNet, "flow_unet", "FlowUNet-test"), (SiT, "sit", "SiT-test/2")],
    ids=["flow_unet", "sit"],
)
def means(request, screen):
    """Mean intensity of generated images by perturbation and plate, [2, 2, 6]."""
    cls, kind, architecture = request.param
    images, perturbations, plates, _ = screen
    vocabulary = Vocabulary(PERTURBATIONS, ("x",), ("none", "compound"), ("control",), PLATES)
    torch.manual_seed(0)
    settings = cls(kind=kind, architecture=architecture, labels=("perturbation", "batch"))
    generator = build_generator(settings, vocabulary, SHAPE)
    optimizer = torch.optim.AdamW(generator.parameters(), lr=3e-3)
    for _ in range(500):
        chosen = torch.randint(len(images), (64,))
        batch = TrainingBatch(
            images[chosen], torch.randn(64, *SHAPE), torch.rand(64),
            Condition(perturbations[chosen], torch.zeros_like(chosen), batch=plates[chosen]),
            torch.rand(64, 3) < 0.1,
        )  # fmt: skip
        optimizer.zero_grad()
        generator(batch).total.backward()
        optimizer.step()
    found = np.zeros((2, 2, 6))
    generator.eval()
    for perturbation in (0, 1):
        for plate in (0, 1):
            labels = torch.full((200,), perturbation), torch.zeros(200, dtype=torch.int64)
            made = generator.sample(
                SampleNoise("e", 0, 0).source(range(200), SHAPE),
                Condition(*labels, batch=torch.full((200,), plate)),
                Sampling(steps=12, sampler="heun"),
            )
            found[perturbation, plate] = made.mean(dim=(0, 2, 3)).numpy()
    return found


def cosine(one, other):
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_the_batch_label_moves_what_a_plate_shift_moves(means, screen):
    shift = np.log(np.array(OPTICS[1].intensity) / np.array(OPTICS[0].intensity)) / screen[-1]
    for perturbation in (0, 1):
        moved = means[perturbation, 1] - means[perturbation, 0]
        assert cosine(moved, shift) > 0.9


def test_the_batch_label_leaves_the_treatment_alone(means, screen):
    images, perturbations, _, _ = screen
    real = np.array([images[perturbations == p].mean(dim=(0, 2, 3)).numpy() for p in (0, 1)])
    effect = real[1] - real[0]
    by_plate = [means[1, plate] - means[0, plate] for plate in (0, 1)]
    for found in by_plate:
        assert cosine(found, effect) > 0.9
    assert np.linalg.norm(by_plate[0] - by_plate[1]) < 0.3 * np.linalg.norm(effect)
