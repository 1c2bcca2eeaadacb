from dataclasses import replace

import pytest

from morphpipe.config.fidelity import Fidelity
from morphpipe.perturbations.vocabulary import Vocabulary
from morphpipe.training.settings import TrainingSettings

DATA = ["a" * 64]


def test_plain_values_and_back(make_settings):
    settings = make_settings(alignment=True)
    assert TrainingSettings.from_dict(settings.to_dict()) == settings


@pytest.mark.parametrize(
    "change",
    [
        {"slices": 3},
        {"checkpoint_every": 1},
        {"seeds": [5, 6]},
        {"devices": 2},
        {"nodes": 4},
        {"threads": 2},
    ],
)
def test_identity_ignores_what_weights_do_not_depend_on(make_settings, vocabulary, change):
    plain = make_settings().identity(vocabulary, DATA)
    assert make_settings(**change).identity(vocabulary, DATA) == plain


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"steps": 24},
        {"batch_size": 8},
        {"learning_rate": 2e-3},
        {"ema_decay": 0.5},
        {"precision": "bf16"},
        {"betas": (0.9, 0.95)},
        {"alignment": True},
        {"accumulation": 2},
    ],
)
def test_identity_follows_what_matters(make_settings, vocabulary, change):
    plain = make_settings().identity(vocabulary, DATA)
    assert make_settings(**change).identity(vocabulary, DATA) != plain


@pytest.mark.parametrize(
    ("key", "change"), [("average", {"checkpoint_every": 1}), ("requeue", {"slices": 3})]
)
def test_identity_follows_what_the_released_code_depends_on(make_settings, vocabulary, key, change):
    fidelity = Fidelity(**{key: "released_code"})
    plain, changed = (
        replace(make_settings(**options), fidelity=fidelity).identity(vocabulary, DATA)
        for options in ({}, change)
    )
    assert plain != changed


def test_identity_follows_data_and_labels(make_settings, vocabulary):
    plain = make_settings().identity(vocabulary, DATA)
    assert make_settings().identity(vocabulary, ["b" * 64]) != plain
    other = Vocabulary(vocabulary.perturbations[:2], vocabulary.cell_types, vocabulary.kinds[:2])
    assert make_settings().identity(other, DATA) != plain
