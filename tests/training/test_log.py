import pandas as pd
import pytest
import torch

from morphpipe.core.errors import TrainingError
from morphpipe.generators.base import Losses
from morphpipe.training.log import COLUMNS, TrainingLog


def _losses(value, alignment=None):
    tensor = torch.tensor(float(value))
    return Losses(tensor, tensor / 2, None if alignment is None else torch.tensor(alignment))


def _norm(value=1.0):
    return torch.tensor(float(value))


def test_entries_are_means_since_the_last(tmp_path):
    log = TrainingLog(tmp_path, 0)
    for step, value in enumerate((1.0, 3.0, 10.0), start=1):
        log.add(_losses(value, -0.5), _norm(value))
        if step == 2:
            log.write(2, 0.1)
    log.write(3, 0.2)
    log.close()
    frame = pd.read_csv(tmp_path / "log.csv")
    assert tuple(frame.columns) == COLUMNS
    assert frame["step"].tolist() == [2, 3]
    assert frame["loss"].tolist() == [2.0, 10.0]
    assert frame["diffusion"].tolist() == [1.0, 5.0]
    assert frame["alignment"].tolist() == [-0.5, -0.5]
    assert frame["gradient_norm"].tolist() == [2.0, 10.0]
    assert frame["learning_rate"].tolist() == [0.1, 0.2]
    assert list((tmp_path / "tensorboard").iterdir())


def test_without_alignment_its_column_is_empty(tmp_path):
    log = TrainingLog(tmp_path, 0)
    log.add(_losses(1.0), _norm())
    log.write(1, 0.1)
    assert pd.read_csv(tmp_path / "log.csv")["alignment"].isna().all()


def test_parts_of_a_family_have_columns_of_their_own(tmp_path):
    log = TrainingLog(tmp_path, 0)
    for value in (1.0, 3.0):
        parts = {"cycle": torch.tensor(value), "none": torch.tensor(float("nan"))}
        log.add(Losses(torch.tensor(value), parts=parts), _norm())
    log.write(2, 0.1)
    log.close()
    frame = pd.read_csv(tmp_path / "log.csv")
    assert tuple(frame.columns) == (*COLUMNS, "cycle", "none")
    assert frame["cycle"].tolist() == [2.0]
    assert frame[["diffusion", "alignment", "none"]].isna().all(axis=None)


def test_resuming_drops_what_comes_after_the_checkpoint(tmp_path):
    log = TrainingLog(tmp_path, 0)
    for step in range(1, 7):
        log.add(_losses(step), _norm())
        log.write(step, 0.1)
    again = TrainingLog(tmp_path, 4)
    again.add(_losses(50), _norm())
    again.write(5, 0.1)
    assert pd.read_csv(tmp_path / "log.csv")["loss"].tolist() == [1, 2, 3, 4, 50]
    assert again.text() == (tmp_path / "log.csv").read_text()


def test_slice_begins_with_the_log_of_the_one_before(tmp_path):
    first = TrainingLog(tmp_path / "a", 0)
    (tmp_path / "a").mkdir(exist_ok=True)
    first.add(_losses(1), _norm())
    first.write(1, 0.1)
    second = TrainingLog(tmp_path / "b", 1, tmp_path / "a" / "log.csv")
    second.add(_losses(2), _norm())
    second.write(2, 0.1)
    assert pd.read_csv(tmp_path / "b" / "log.csv")["step"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("loss", "norm"), [(float("nan"), 1.0), (float("inf"), 1.0), (1.0, float("nan"))]
)
def test_what_is_not_finite_stops(tmp_path, loss, norm):
    log = TrainingLog(tmp_path, 0)
    log.add(_losses(1.0), _norm())
    log.add(_losses(loss), _norm(norm))
    log.add(_losses(1.0), _norm())
    with pytest.raises(TrainingError, match="no longer finite in the 3 batches before step 3"):
        log.write(3, 0.1)
    assert not (tmp_path / "log.csv").exists()


def test_only_one_of_several_processes_writes(tmp_path):
    log = TrainingLog(tmp_path, 0, main=False)
    log.add(_losses(1.0), _norm())
    assert log.write(1, 0.1)["loss"] == 1.0
    log.close()
    assert list(tmp_path.iterdir()) == []
