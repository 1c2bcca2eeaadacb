"""Images that generated ones start from, and batches of generated images."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from morphpipe.autoencoders.pixels import Pixels
from morphpipe.config.experiments import Training
from morphpipe.config.generators import IMPA, CellFlux, SiT
from morphpipe.config.sampling import Sampling
from morphpipe.core.errors import ConfigError, DataError
from morphpipe.generators.registry import build_generator
from morphpipe.perturbations.vocabulary import Vocabulary
from morphpipe.sampling.generate import generate, generated_manifest, sample_latents
from morphpipe.sampling.load import TrainedGenerator
from morphpipe.sampling.plan import sampling_plan
from morphpipe.sampling.start import StartImages
from morphpipe.tables.archive import read_fields
from morphpipe.tables.array_shards import write_shard
from morphpipe.training.settings import TrainingSettings

SHAPE = (2, 4, 4)
VOCABULARY = Vocabulary(("a", "dmso"), ("x", "y"), ("compound", "none"), ("dmso",), ("b0", "b1"))
SETTINGS = Sampling(per_condition=8, batch_size=3)


LABELS = ("perturbation", "cell_type", "batch")
FAMILIES = [
    CellFlux(kind="cellflux", architecture="CellFlux-test", labels=LABELS),
    IMPA(kind="impa", architecture="IMPA-test", labels=LABELS),
]


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda family: family.kind)
def generator(request):
    settings = TrainingSettings(
        "e", 0, "channels", "pixels", ("DNA", "ER"), request.param,
        Training(steps=8, slices=1, precision="fp32"),
    )  # fmt: skip
    torch.manual_seed(0)
    network = build_generator(settings.generator, VOCABULARY, SHAPE).eval()
    return TrainedGenerator(network, VOCABULARY, settings, 8, SHAPE, "a" * 64)


@pytest.fixture
def fields():
    """Training fields: controls of both cell types in one batch, of one type in the other."""
    rows = [("x", "b0"), ("y", "b0"), ("x", "b1")] * 8
    table = pd.DataFrame(rows, columns=["cell_type", "batch"])
    control = np.arange(len(table)) % 2 == 0
    return table.assign(
        field_id=[f"f{i:02d}" for i in range(len(table))],
        perturbation=np.where(control, "dmso", "a"),
        perturbation_kind=np.where(control, "none", "compound"),
        control=np.where(control, "negative", "none"),
    )


@pytest.fixture
def start(fields, generator, tmp_path):
    """Latents whose value is the field's number."""
    keys = [(field_id, t) for field_id in fields["field_id"] for t in (0, 4)]
    values = np.array([int(field_id[1:]) for field_id, _ in keys], np.float16)
    rows = np.broadcast_to(values[:, None, None, None, None], (len(keys), 1, *SHAPE))
    write_shard(tmp_path / "m", keys, [rows], shape=(1, *SHAPE), dtype=np.float16)

    def make(table=fields, seed=0):
        return StartImages([tmp_path / "m.parquet"], table, generator, seed)

    return make


def plan_of(fields, **settings):
    return sampling_plan(fields, SETTINGS.model_copy(update=settings), batches=VOCABULARY.batches)


def test_batches_are_those_of_the_real_fields_in_turn(fields):
    plan = plan_of(fields)
    of_x = plan[(plan["cell_type"] == "x") & (plan["perturbation"] == "a")]["batch"].tolist()
    assert of_x == ["b0", "b1"] * 4
    assert set(plan[plan["cell_type"] == "y"]["batch"]) == {"b0"}
    assert set(plan_of(fields, batch="b1")["batch"]) == {"b1"}
    assert set(plan_of(fields, batch=None)["batch"]) == {None}
    with pytest.raises(DataError, match="batch 'b7'"):
        plan_of(fields, batch="b7")
    # Batches that are not trained on are no labels.
    others = fields.assign(batch="b9")
    assert set(plan_of(others)["batch"]) == {None}


def test_controls_are_of_the_same_cell_type_and_batch(fields, start):
    plan, images = plan_of(fields), start()
    chosen = fields.set_index("field_id").loc[images.choose(plan)]
    assert (chosen["control"] == "negative").all()
    assert chosen["cell_type"].tolist() == plan["cell_type"].tolist()
    assert chosen["batch"].tolist() == plan["batch"].tolist()
    np.testing.assert_array_equal(
        images.latents(chosen.index)[:, 0, 0, 0], [int(name[1:]) for name in chosen.index]
    )


def test_the_choice_is_a_function_of_the_image_alone(fields, start):
    plan, images = plan_of(fields), start()
    whole = images.choose(plan)
    assert [*images.choose(plan[5:9])] == whole[5:9]
    assert start(seed=1).choose(plan) != whole
    assert len(set(whole)) > 6


def test_where_a_batch_has_no_control_any_of_the_cell_type_is_taken(fields, start):
    elsewhere = fields[(fields["cell_type"] == "x") & (fields["batch"] == "b0")]
    plan = plan_of(fields)
    of_x = plan[plan["cell_type"] == "x"]
    assert set(start(elsewhere).choose(of_x)) <= set(elsewhere["field_id"])
    with pytest.raises(DataError, match="cell type 'y'"):
        start(elsewhere).choose(plan)
    with pytest.raises(DataError, match="No training field is a negative control"):
        start(fields[fields["control"] == "none"])


def test_noise_is_added_to_a_control_where_the_family_says_so(fields, generator, monkeypatch):
    plan, seen = plan_of(fields)[:3], []
    start = 5 + torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0))
    sample = type(generator.network).sample

    def spy(network, noise, *arguments, **options):
        seen.extend([noise(0), noise(1)])
        return sample(network, noise, *arguments, **options)

    monkeypatch.setattr(type(generator.network), "sample", spy)
    made = sample_latents(generator, plan, SETTINGS, 0, start=start)
    adds = generator.settings.generator.adds_noise_to_controls
    assert torch.equal(seen[0], start) == (not adds)
    assert abs(seen[0].mean().item() - 5) < 1
    assert abs(seen[1].mean().item()) < 0.5
    # Of its own for each image, whatever the batch.
    alone = sample_latents(generator, plan[1:2], SETTINGS, 0, start=start[1:2])
    torch.testing.assert_close(alone, made[1:2], rtol=1e-4, atol=1e-4)


def test_generated_fields_say_what_they_were_made_from(
    fields, start, generator, make_manifest, tmp_path
):
    def run(**options):
        options = {"generator": generator, "start": start()} | options
        generate(
            options.pop("generator"), Pixels("channels", 1), plan_of(fields), SETTINGS,
            dataset="d", sampling_seed=0,
            manifest=generated_manifest(make_manifest(), generator.settings),
            path=tmp_path / "a.zip", work=tmp_path / "work", **options,
        )  # fmt: skip

    run()
    made = read_fields(tmp_path / "a.zip").keys()
    assert made["start_field"].tolist() == start().choose(plan_of(fields))
    with pytest.raises(ConfigError, match="give the latents"):
        run(start=None)
    settings = replace(generator.settings, generator=SiT(kind="sit"))
    with pytest.raises(ConfigError, match="give it no images"):
        run(generator=replace(generator, settings=settings))
