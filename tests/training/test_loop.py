import json
import shutil
import signal
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from morphpipe.config.experiments import Training
from morphpipe.config.fidelity import Fidelity
from morphpipe.config.generators import IMPA, Alignment, CellFlux, FlowUNet, SiT, UNet
from morphpipe.core import folder_lock
from morphpipe.core.errors import ConfigError, DataError, StorageError, TrainingError
from morphpipe.generators import registry
from morphpipe.tables.checkpoint_state import read_state
from morphpipe.training import loop
from morphpipe.training.checkpoint import checkpoints
from morphpipe.training.loop import device_rows, learning_rate_at, train

PARTS = ("model", "ema", "optimizer")


def _run(settings, data, vocabulary, folder, *, until=None, earlier=None):
    output = folder / "checkpoint"
    train(
        settings,
        data,
        vocabulary,
        work=folder / "work",
        output=output,
        until=settings.training.steps if until is None else until,
        earlier=earlier,
    )
    return output


def _assert_same(left, right):
    for part in PARTS:
        a, b = (load_file(folder / f"{part}.safetensors") for folder in (left, right))
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a), part


def _columns(folder):
    frame = pd.read_csv(folder / "log.csv")
    return frame.drop(columns="seconds")


@given(
    size=st.integers(1, 5),
    accumulation=st.integers(1, 4),
    processes=st.integers(1, 5),
)
def test_devices_and_parts_share_the_global_batch_without_rest(size, accumulation, processes):
    batch = size * accumulation * processes
    places = [
        place
        for process in range(processes)
        for part in device_rows(batch, accumulation, processes, process)
        for place in part
    ]
    assert places == list(range(batch))


def test_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(ConfigError, match=r"batch_size is 10, .* by 4 devices times 1 .*multiple"):
        device_rows(10, 1, 4, 0)


def test_learning_rate():
    training = Training(
        steps=110, slices=1, warmup_steps=10, learning_rate=2.0, final_learning_rate=0.1
    )
    assert learning_rate_at(0, training) == pytest.approx(0.2)
    assert learning_rate_at(9, training) == pytest.approx(2.0)
    assert learning_rate_at(10, training) == pytest.approx(2.0)
    assert learning_rate_at(60, training) == pytest.approx(2.0 * (0.1 + 0.9 / 2))
    assert learning_rate_at(110, training) == pytest.approx(0.2)
    rates = [learning_rate_at(step, training) for step in range(10, 111)]
    assert rates == sorted(rates, reverse=True)
    constant = Training(steps=100, slices=1, learning_rate=3.0)
    assert {learning_rate_at(step, constant) for step in range(100)} == {3.0}


def test_checkpoint_is_complete(make_settings, make_data, vocabulary, tmp_path):
    output = _run(make_settings(), make_data(), vocabulary, tmp_path)
    assert {path.name for path in output.iterdir()} == {
        "model.safetensors",
        "ema.safetensors",
        "optimizer.safetensors",
        "state.json",
        "log.csv",
        "README.md",
        "vocabulary.json",
    }
    assert read_state(output).step == 12
    assert _columns(output)["step"].tolist() == [4, 8, 12]
    assert _columns(output)["learning_rate"].iloc[0] == pytest.approx(1e-3)
    assert "SiT-test/2" in (output / "README.md").read_text()
    assert json.loads((output / "vocabulary.json").read_text())["negative_controls"] == ["control"]


def test_training_lowers_the_loss(make_settings, make_data, vocabulary, tmp_path):
    settings = make_settings(steps=120, checkpoint_every=40, learning_rate=3e-3, batch_size=8)
    losses = _columns(_run(settings, make_data(4), vocabulary, tmp_path))["loss"]
    assert losses.iloc[-1] < 0.9 * losses.iloc[0]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("alignment", [False, True])
def test_slices_give_the_weights_of_a_training_in_one_piece(
    make_settings, make_data, vocabulary, tmp_path, precision, alignment
):
    settings = make_settings(precision=precision, alignment=alignment, accumulation=2)
    data = make_data(targets=alignment)
    whole = _run(settings, data, vocabulary, tmp_path / "whole")
    first = _run(settings, data, vocabulary, tmp_path / "first", until=8)
    assert read_state(first).step == 8
    second = _run(settings, data, vocabulary, tmp_path / "second", earlier=first)
    _assert_same(second, whole)
    pd.testing.assert_frame_equal(_columns(second), _columns(whole))
    weights = load_file(whole / "model.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())


FAMILIES = [
    SiT(kind="sit", architecture="SiT-test/2"),
    FlowUNet(kind="flow_unet", architecture="FlowUNet-test"),
    CellFlux(kind="cellflux", architecture="CellFlux-test"),
    UNet(kind="unet", architecture="SD-test"),
    IMPA(kind="impa", architecture="IMPA-test", diversity_steps=9),
]


def test_every_family_is_resumed():
    assert {family.kind for family in FAMILIES} == set(registry.FAMILIES)


@pytest.mark.parametrize("generator", FAMILIES, ids=lambda family: family.kind)
def test_slices_repeat_what_every_family_draws(
    make_settings, make_data, vocabulary, tmp_path, generator
):
    """Dropout, noise of styles, weights that change; and the state of every optimizer."""
    settings = make_settings(generator=generator, slices=3, accumulation=2)
    data = make_data(controls=generator.starts_from_controls)
    whole = _run(settings, data, vocabulary, tmp_path / "whole")
    first = _run(settings, data, vocabulary, tmp_path / "first", until=4)
    second = _run(settings, data, vocabulary, tmp_path / "second", until=8, earlier=first)
    third = _run(settings, data, vocabulary, tmp_path / "third", earlier=second)
    _assert_same(whole, third)
    pd.testing.assert_frame_equal(_columns(third), _columns(whole))
    weights = load_file(whole / "model.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())
    # Every parameter has been trained, by one of the optimizers.
    optimizer = load_file(whole / "optimizer.safetensors")
    assert {key.split("/")[1] for key in optimizer} == weights.keys()
    assert {int(count) for key, count in optimizer.items() if key.startswith("step/")} == {12}


def test_a_slice_goes_on_from_the_end_of_the_one_before(
    make_settings, make_data, vocabulary, tmp_path
):
    settings, data = make_settings(slices=3), make_data()
    first = _run(settings, data, vocabulary, tmp_path / "0", until=4)
    second = _run(settings, data, vocabulary, tmp_path / "1", until=8, earlier=first)
    with pytest.raises(DataError, match=r"checkpoint is of step 4, .* to step 12 continues from 8"):
        _run(settings, data, vocabulary, tmp_path / "2", earlier=first)
    with pytest.raises(
        DataError, match=r"1/checkpoint is of step 8, .* to step 4 continues from 0"
    ):
        _run(settings, data, vocabulary, tmp_path / "2", until=4, earlier=second)
    # Steps that are no end of a slice are asked for by hand.
    with pytest.raises(
        DataError, match=r"is of step 8, .* to step 6 continues from an earlier one"
    ):
        _run(settings, data, vocabulary, tmp_path / "2", until=6, earlier=second)
    _run(settings, data, vocabulary, tmp_path / "2", until=6, earlier=first)


def test_a_checkpoint_knows_the_autoencoder_of_its_latents(
    make_settings, make_data, vocabulary, tmp_path
):
    for made_by in (None, "c" * 64):
        data = make_data(made_by=made_by)
        output = _run(make_settings(steps=1), data, vocabulary, tmp_path / str(made_by))
        assert read_state(output).autoencoder == made_by


def test_slices_of_a_network_in_channels_last_format_change_nothing(
    make_settings, make_data, vocabulary, tmp_path
):
    """The optimizer's moments are stored place by place, and used in the order of the memory."""
    unet = FlowUNet(
        kind="flow_unet",
        architecture="FlowUNet-test",
        alignment=Alignment(encoder="resnet", weight=0.5, projector_width=32),
    )
    settings, data = make_settings(generator=unet), make_data(targets=True)
    whole = _run(settings, data, vocabulary, tmp_path / "whole")
    first = _run(settings, data, vocabulary, tmp_path / "first", until=8)
    _assert_same(_run(settings, data, vocabulary, tmp_path / "second", earlier=first), whole)


@pytest.mark.skipif(
    torch.accelerator.current_accelerator() is None and shutil.which("g++") is None,
    reason="torch.compile needs a C++ compiler on a CPU",
)
@pytest.mark.parametrize("kind", ["sit", "flow_unet"])
def test_compiled_blocks_give_the_same_losses(make_settings, make_data, vocabulary, tmp_path, kind):
    unet = FlowUNet(kind="flow_unet", architecture="FlowUNet-test")
    data = make_data()
    losses = {}
    for name in ("plain", "compiled"):
        settings = make_settings(
            generator=unet if kind == "flow_unet" else None,
            steps=50,
            checkpoint_every=50,
            compile=name == "compiled",
        )
        assert settings.identity(vocabulary, []) == make_settings(
            generator=unet if kind == "flow_unet" else None, steps=50, checkpoint_every=50
        ).identity(vocabulary, [])
        losses[name] = _columns(_run(settings, data, vocabulary, tmp_path / name))["loss"]
    np.testing.assert_allclose(losses["compiled"], losses["plain"], rtol=1e-4)


def test_checkpoints_of_other_settings_and_damaged_ones_are_passed_over(
    make_settings, make_data, vocabulary, tmp_path
):
    data = make_data()
    whole = _run(make_settings(), data, vocabulary, tmp_path / "whole")
    other = make_settings(learning_rate=5e-3)
    _run(other, data, vocabulary, tmp_path / "mixed")
    mixed = _run(make_settings(), data, vocabulary, tmp_path / "mixed")
    _assert_same(mixed, whole)
    newest, older = checkpoints(tmp_path / "mixed" / "work")
    assert (newest.name, older.name) == ("step-000000008", "step-000000004")
    (newest / "model.safetensors").write_bytes(b"damaged")
    _assert_same(_run(make_settings(), data, vocabulary, tmp_path / "mixed"), whole)


def test_slice_before_of_other_settings_stops(make_settings, make_data, vocabulary, tmp_path):
    data = make_data()
    first = _run(make_settings(seed=1), data, vocabulary, tmp_path / "first", until=4)
    with pytest.raises(DataError, match="trained with other settings or data"):
        _run(make_settings(), data, vocabulary, tmp_path / "second", earlier=first)


def test_alignment_and_targets_come_together(make_settings, make_data, vocabulary, tmp_path):
    with pytest.raises(ConfigError, match="belong together"):
        _run(make_settings(alignment=True), make_data(), vocabulary, tmp_path)
    with pytest.raises(ConfigError, match="belong together"):
        _run(make_settings(), make_data(targets=True), vocabulary, tmp_path)


def test_nan_in_a_latent_stops_before_a_checkpoint(
    make_settings, make_data, vocabulary, tmp_path, monkeypatch
):
    data = make_data()
    real = data.moments.read

    def read(positions):
        rows = real(positions)
        rows[0, 0, 0, 0, 0] = np.nan
        return rows

    monkeypatch.setattr(data.moments, "read", read)
    message = r"because the data are not: the latents of the field f\d+ in .*moments\d.* contain"
    with pytest.raises(DataError, match=message):
        _run(make_settings(), data, vocabulary, tmp_path)
    assert list(checkpoints(tmp_path / "work")) == []
    assert not (tmp_path / "checkpoint").exists()


def test_nan_late_in_training_keeps_the_checkpoint_from_before(
    make_settings, make_data, vocabulary, tmp_path, monkeypatch
):
    data = make_data()
    real = type(data).batch

    def batch(self, seed, step, *arguments):
        made = real(self, seed, step, *arguments)
        if step == 6:
            made.noise[0, 0, 0, 0] = float("inf")
        return made

    monkeypatch.setattr(type(data), "batch", batch)
    with pytest.raises(TrainingError, match="before step 8"):
        _run(make_settings(), data, vocabulary, tmp_path)
    assert [path.name for path in checkpoints(tmp_path / "work")] == ["step-000000004"]


SCRIPT = """
    import json
    import sys
    import time
    from pathlib import Path
    import pandas as pd
    from morphpipe.perturbations.vocabulary import Vocabulary
    from morphpipe.training import data as module
    from morphpipe.training.loop import train
    from morphpipe.training.settings import TrainingSettings

    folder, wait_at = Path(sys.argv[1]), int(sys.argv[2])
    settings = TrainingSettings.from_dict(json.loads((folder / "settings.json").read_text()))
    vocabulary = Vocabulary.load(folder / "vocabulary.json")
    fields = pd.read_json(folder / "fields.json", dtype=False)
    indices = [folder / f"moments{i}.parquet" for i in (0, 1)]
    data = module.open_training_data(fields, indices, None, vocabulary, [0])

    import morphpipe.training.ema as ema
    real = ema.ExponentialMovingAverage.update

    def update(self, network, updates):
        if updates == wait_at:
            print("\\nwaiting", flush=True)
            time.sleep(1 if sys.argv[3] == "term" else 60)
        real(self, network, updates)

    ema.ExponentialMovingAverage.update = update
    train(settings, data, vocabulary, work=folder / "work", output=folder / "checkpoint",
          until=settings.training.steps)
"""


@pytest.fixture
def training_folder(make_settings, make_data, vocabulary, tmp_path):
    """All that another process needs to train; the same by this one, and a run left alone."""
    folder = tmp_path / "killed"
    folder.mkdir()
    settings = make_settings()
    data = make_data(folder=folder)
    fields = pd.DataFrame(
        {
            "field_id": [f"f{i:03d}" for i in range(10)],
            "perturbation": [vocabulary.perturbations[i % 3] for i in range(10)],
            "cell_type": [vocabulary.cell_types[i % 2] for i in range(10)],
        }
    )
    fields.to_json(folder / "fields.json")
    (folder / "settings.json").write_text(json.dumps(settings.to_dict()))
    (folder / "vocabulary.json").write_text(vocabulary.to_json())
    whole = _run(settings, data, vocabulary, tmp_path / "whole")
    return folder, lambda: _run(settings, data, vocabulary, folder), whole


def _wait(process):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("waiting"):
            return
    pytest.fail("".join(lines))


def test_killed_training_ends_with_the_same_weights(run_python, training_folder, capsys):
    folder, go_on, whole = training_folder
    process = run_python(SCRIPT, folder, 6, "kill")
    _wait(process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "checkpoint").exists()
    assert [path.name for path in checkpoints(folder / "work")] == ["step-000000004"]
    _assert_same(go_on(), whole)
    assert "step-000000004 (step 4)" in capsys.readouterr().out
    pd.testing.assert_frame_equal(_columns(folder / "checkpoint"), _columns(whole))


def test_full_disk_is_named_and_costs_the_steps_since_the_last_checkpoint(
    make_settings, make_data, vocabulary, tmp_path, small_disk, monkeypatch
):
    whole = _run(make_settings(), make_data(), vocabulary, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "remove_older", lambda work: small_disk.fill())
        with pytest.raises(StorageError, match=r"(log\.csv|step-000000008) cannot .*disk is full"):
            _run(make_settings(), make_data(), vocabulary, small_disk.folder)
    assert [path.name for path in checkpoints(small_disk.folder / "work")] == ["step-000000004"]
    assert not list((small_disk.folder / "work").glob(".*"))
    small_disk.make_room()
    _assert_same(_run(make_settings(), make_data(), vocabulary, small_disk.folder), whole)


def test_second_training_in_the_same_folder_is_told_of_the_first(
    run_python, training_folder, monkeypatch
):
    folder, go_on, _ = training_folder
    first = run_python(SCRIPT, folder, 6, "kill")
    _wait(first)
    monkeypatch.setattr(folder_lock, "PATIENCE", 0)
    with pytest.raises(DataError, match=f"work is in use by process {first.pid} on"):
        go_on()
    assert first.poll() is None
    assert [path.name for path in checkpoints(folder / "work")] == ["step-000000004"]


def test_asked_to_end_it_saves_and_says_143(run_python, training_folder, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    folder, go_on, whole = training_folder
    process = run_python(SCRIPT, folder, 5, "term")
    _wait(process)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 143, output
    assert next(checkpoints(folder / "work")).name == "step-000000006"
    _assert_same(go_on(), whole)


def _released(settings, **readings):
    return replace(settings, fidelity=Fidelity(**readings))


def test_released_code_trains_on_from_the_average(make_settings, make_data, vocabulary, tmp_path):
    for name, reading in (("fixed", {}), ("released", {"average": "released_code"})):
        (tmp_path / name).mkdir()
        settings = _released(make_settings(), **reading)
        output = _run(settings, make_data(), vocabulary, tmp_path / name)
        model, average = (load_file(output / f"{part}.safetensors") for part in ("model", "ema"))
        assert all(torch.equal(average[key], model[key]) for key in average) == bool(reading)


def test_an_interruption_puts_no_average_in_place(
    make_settings, make_data, vocabulary, tmp_path, monkeypatch
):
    """A checkpoint that is due to a SIGTERM, or to the end of a slice, is none of the settings'."""
    settings = _released(make_settings(slices=2, checkpoint_every=5), average="released_code")
    whole, cut, rest = (tmp_path / name for name in ("whole", "cut", "rest"))
    for folder in (whole, cut, rest):
        folder.mkdir()
    left_alone = _run(settings, make_data(), vocabulary, whole)

    monkeypatch.setattr(loop.Termination, "asked_of_any", lambda self, accelerator, step: step == 3)
    monkeypatch.setattr(loop, "end", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        _run(settings, make_data(), vocabulary, cut, until=6)
    monkeypatch.undo()
    earlier = _run(settings, make_data(), vocabulary, cut, until=6)
    _assert_same(left_alone, _run(settings, make_data(), vocabulary, rest, earlier=earlier))


def test_released_code_forgets_the_optimizer_with_every_job(
    make_settings, make_data, vocabulary, tmp_path
):
    for name, reading, steps in (("fixed", {}, 12), ("released", {"requeue": "released_code"}, 6)):
        settings = _released(make_settings(slices=2), **reading)
        first, second = tmp_path / name / "first", tmp_path / name / "second"
        first.mkdir(parents=True)
        second.mkdir()
        earlier = _run(settings, make_data(), vocabulary, first, until=6)
        output = _run(settings, make_data(), vocabulary, second, earlier=earlier)
        optimizer = load_file(output / "optimizer.safetensors")
        counts = {int(count) for key, count in optimizer.items() if key.startswith("step/")}
        assert counts == {steps}
        assert read_state(output).step == 12


def test_a_restart_within_a_job_changes_nothing_in_the_released_reading(
    make_settings, make_data, vocabulary, tmp_path, monkeypatch
):
    settings = _released(make_settings(slices=2), requeue="released_code")
    first, whole, cut = (tmp_path / name for name in ("first", "whole", "cut"))
    for folder in (first, whole, cut):
        folder.mkdir()
    earlier = _run(settings, make_data(), vocabulary, first, until=6)
    left_alone = _run(settings, make_data(), vocabulary, whole, earlier=earlier)
    save = loop.save_checkpoint

    def save_once(folder, *arguments, **options):
        save(folder, *arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", save_once)
    with pytest.raises(KeyboardInterrupt):
        _run(settings, make_data(), vocabulary, cut, earlier=earlier)
    monkeypatch.setattr(loop, "save_checkpoint", save)
    _assert_same(left_alone, _run(settings, make_data(), vocabulary, cut, earlier=earlier))
