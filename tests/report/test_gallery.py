import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from morphpipe.report import gallery as gallery_module
from morphpipe.report.evidence import read_evidence
from morphpipe.report.gallery import COLOUR, PER_CONDITION, fill_gallery, gallery

from .conftest import CELL_TYPES, CHANNELS, PERTURBATIONS


@pytest.fixture(scope="module")
def evidence(inputs):
    return read_evidence(inputs.experiments[0], inputs.configuration)


@pytest.fixture(scope="module")
def part(content):
    return content.gallery[0]


def test_every_condition_and_channel_is_there_when_it_fits(part):
    made = gallery([part], 10**9)
    assert made.left_out == 0
    assert made.channels == [COLOUR, *CHANNELS]
    found = {(c.cell_type, c.perturbation) for c in made.conditions}
    assert found == {(c, p) for c in CELL_TYPES for p in PERTURBATIONS}
    for condition in made.conditions:
        assert len(condition.generated) == PER_CONDITION
        assert 0 < len(condition.real) <= PER_CONDITION
        for pictures in (*condition.real.values(), *condition.generated.values()):
            assert list(pictures) == [COLOUR, *CHANNELS]


def test_first_fields_and_first_samples(part, evidence):
    keys = evidence.test_fields.keys()
    for condition in gallery([part], 10**9).conditions:
        mask = (keys["cell_type"] == condition.cell_type) & (
            keys["perturbation"] == condition.perturbation
        )
        assert list(condition.real) == sorted(keys[mask]["field_id"])[:PER_CONDITION]
        assert [name[-3:] for name in condition.generated] == ["000", "001", "002"]
        assert all(name.startswith("g-0-") for name in condition.generated)


@pytest.mark.parametrize("share", [0, 12_000, 40_000, 150_000])
def test_size_is_kept_and_colour_comes_first(evidence, share):
    made = fill_gallery(evidence, share)
    sizes = [taken.size for taken in made.taken]
    assert sum(sizes) <= share
    first = [t.size for t in made.taken[: len({(t.condition, t.side) for t in made.taken})]
             if COLOUR in t.pictures]  # fmt: skip
    assert sum(first) <= share / 2
    shown = gallery([made], share)
    conditions = len(CELL_TYPES) * len(PERTURBATIONS)
    assert len(shown.conditions) + shown.left_out == conditions
    # Cell types take turns, so that a small gallery has both.
    if len(shown.conditions) >= 2:
        assert {c.cell_type for c in shown.conditions[:2]} == set(CELL_TYPES)
    smaller = gallery([made], share // 3)
    assert len(smaller.conditions) <= len(shown.conditions)


def test_an_experiment_that_needs_less_takes_nothing_from_others(part):
    alone, shared = gallery([part], 60_000), gallery([part, part], 120_000)
    assert len(shared.conditions) == 2 * len(alone.conditions)


def test_pictures_are_small_and_look_like_the_fields(part):
    taken = next(t for t in part.taken if COLOUR not in t.pictures)
    with Image.open(io.BytesIO(taken.pictures["DNA"])) as image:
        assert image.format == "JPEG"
        assert image.mode == "L"
        assert max(image.size) <= gallery_module._LONGEST_SIDE
        assert np.asarray(image).max() > 100


def test_channels_need_the_same_window_on_both_sides(evidence):
    manifest = replace(evidence.real.manifest, channels=evidence.real.manifest.channels[::-1])
    made = tuple(replace(table, manifest=manifest) for table in evidence.generated)
    steps = gallery_module._steps(replace(evidence, generated=made))
    assert all(step.in_colour for step in steps)
