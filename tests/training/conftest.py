import numpy as np
import pandas as pd
import pytest

from morphpipe.config.experiments import Training
from morphpipe.config.generators import BlockAlignment, SiT
from morphpipe.perturbations.vocabulary import Vocabulary
from morphpipe.tables.array_shards import write_shard
from morphpipe.training.data import open_training_data
from morphpipe.training.settings import TrainingSettings

VOCABULARY = Vocabulary(
    ("control", "p1", "p2"), ("HUVEC", "U2OS"), ("none", "sirna", "sirna"), ("control",)
)


@pytest.fixture
def vocabulary():
    return VOCABULARY


@pytest.fixture
def make_data(tmp_path):
    """Cache random moments (and targets) of fields in two shards, and open them."""

    def make(
        number=10,
        *,
        transforms=(0,),
        targets=False,
        folder=tmp_path,
        cached=None,
        conditions=None,
        made_by=None,
        controls=False,
    ):
        random = np.random.default_rng(0)
        fields = pd.DataFrame(
            {
                "field_id": [f"f{i:03d}" for i in range(number)],
                "perturbation": [VOCABULARY.perturbations[i % 3] for i in range(number)],
                "cell_type": [VOCABULARY.cell_types[i % 2] for i in range(number)],
                "concentration": np.nan,
                "control": ["none" if i % 3 else "negative" for i in range(number)],
                "batch": "b1",
            }
        )
        keys = [(i, t) for i in fields["field_id"] for t in (cached or transforms)]
        half = len(keys) // 2
        indices = {"moments": [], "targets": []}
        for name, shape in (("moments", (2, 4, 4, 4)), ("targets", (4, 16))):
            rows = random.standard_normal((len(keys), *shape)).astype(np.float16)
            if name == "moments":
                rows[:, 1] = 0.1 * np.abs(rows[:, 1])
            for shard, part in enumerate((slice(0, half), slice(half, None))):
                path = folder / f"{name}{shard}"
                write_shard(
                    path, keys[part], [rows[part]], shape=shape, dtype=np.float16, made_by=made_by
                )
                indices[name].append(path.with_suffix(".parquet"))
        return open_training_data(
            fields,
            indices["moments"],
            indices["targets"] if targets else None,
            VOCABULARY,
            list(transforms),
            conditions,
            from_controls=controls,
        )

    return make


@pytest.fixture
def make_settings():
    """Settings of a training of seconds."""

    def make(*, alignment=False, seed=0, generator=None, **training):
        options = {
            "steps": 12,
            "slices": 1,
            "checkpoint_every": 4,
            "batch_size": 4,
            "learning_rate": 1e-3,
            "warmup_steps": 3,
            "final_learning_rate": 0.1,
            "ema_decay": 0.9,
            "precision": "fp32",
        } | training
        aligned = BlockAlignment(encoder="resnet", block=1, weight=0.5, projector_width=32)
        return TrainingSettings(
            "tiny",
            seed,
            "channels",
            "small",
            ("DNA",),
            generator
            or SiT(kind="sit", architecture="SiT-test/2", alignment=aligned if alignment else None),
            Training(**options),
        )

    return make
