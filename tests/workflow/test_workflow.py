"""The whole flow on a simulated screen, as a user runs it."""

import copy
import re
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from morphpipe.core.folder_lock import only_user
from morphpipe.tables.archive import read_fields
from morphpipe.tables.field_reader import read_images

from .conftest import REPOSITORY

METRICS = ["metrics/distances", "metrics/effects", "metrics/probes", "morphology/metrics"]


def metrics(folder: Path) -> pd.DataFrame:
    tables = folder / "results/experiments/tiny"
    return pd.concat([pq.read_table(tables / f"{name}.parquet").to_pandas() for name in METRICS])


def generated(folder: Path) -> list[Path]:
    # A kill leaves a hidden `.shard-0.….partial.zip`, which nothing takes for an archive.
    return sorted((folder / "results/experiments/tiny/samples").rglob("shard-*.zip"))


def test_report_needs_no_network_as_pages_and_as_one_file(left_alone):
    results = left_alone.folder / "results"
    pages = [results / "report.html", *(results / "report").glob("*.html")]
    assert results / "report/index.html" in pages
    for path in pages:
        page = path.read_text()
        assert "tiny" in page
        assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)


def test_generated_images_are_like_real_ones(left_alone):
    real = read_fields(left_alone.folder / "results/datasets/screen/fields.parquet")
    archives = [read_fields(path) for path in generated(left_alone.folder)]
    assert sum(map(len, archives)) == 2 * 2 * 16
    assert {table.manifest.names for table in archives} == {real.manifest.names}
    images = read_images(archives[0])
    assert images.shape[1:] == read_images(real.take([0])).shape[1:]
    index = pd.concat([table.keys() for table in archives])["sample_index"]
    assert sorted(index) == list(range(64))


def test_tables_hold_distances_effects_and_probes_with_floors(left_alone):
    table = metrics(left_alone.folder)
    assert {"frechet_distance", "cate", "accuracy"} <= set(table["metric"])
    assert "FID" not in set(table["metric"]), "no Inception here, so nothing may be called FID"
    assert {"generated-real", "real-real", "copy-real"} <= set(table["comparison"].dropna())


def test_cellprofiler_measures_real_held_out_and_generated_fields(left_alone):
    results = left_alone.folder / "results"
    split = pq.read_table(results / "splits/screen.parquet").to_pandas()
    held_out = set(split.loc[split["split"] == "test", "field_id"])
    real = pd.concat(
        pq.read_table(path).to_pandas()
        for path in (results / "morphology/cells").glob("shard-*/image.parquet")
    )
    assert set(real["field_id"]) == held_out
    assert set(real["status"]) == {"measured"}
    # Cells that touch the border do not count, and a field of 64 pixels may hold no other.
    assert real["Count_Nuclei"].min() >= 0
    assert real["Count_Nuclei"].mean() > 1.5
    made = (results / "experiments/tiny/morphology/cells").rglob("image.parquet")
    assert sum(pq.read_metadata(path).num_rows for path in made) == 2 * 2 * 16
    page = (results / "report/experiment-tiny.html").read_text()
    assert "Do CellProfiler measurements match real cells?" in page


def test_second_run_does_nothing(left_alone):
    assert left_alone.scheduled() == {}


def test_a_fresh_clone_beside_finished_results_repeats_nothing(left_alone, tiny, tmp_path):
    """Its files are of today, and it knows nothing of the run that made the results."""
    clone = tmp_path / "clone"
    shutil.copytree(REPOSITORY / "workflow", clone / "workflow", copy_function=shutil.copy)
    shutil.copy(REPOSITORY / "Snakefile", clone)
    beside = type(left_alone)(tmp_path / "beside", tiny, snakefile=clone / "Snakefile")
    shutil.copytree(left_alone.folder / "results", beside.folder / "results")
    assert beside.scheduled() == {}
    # Nor where the run's own records are at hand, which know the scripts' text.
    records = beside.folder / ".snakemake"
    shutil.copytree(left_alone.folder / ".snakemake", records, dirs_exist_ok=True)
    script = clone / "workflow/scripts/evaluate.py"
    script.write_text(script.read_text() + "# another version\n")
    assert beside.scheduled() == {}


def test_results_are_for_one_run_at_a_time(left_alone, workflow_in, tiny):
    """Snakemake's lock is of the working folder, of which another may share the results."""
    shared = copy.deepcopy(tiny)
    shared["paths"]["results"] = str(left_alone.folder / "results")
    other = workflow_in("other", shared)
    target = f"{shared['paths']['results']}/experiments/tiny/metrics/probes.parquet"
    with only_user(left_alone.folder / "results"):
        stopped = other.run("--forcerun", "evaluate", "--", target, check=False)
    assert stopped.returncode
    assert "is in use by process" in stopped.stdout + stopped.stderr


def test_single_result_can_be_asked_for_by_name(left_alone):
    target = "results/experiments/tiny/metrics/probes.parquet"
    left_alone.run("--", target)
    assert left_alone.scheduled("--forcerun", "evaluate", "--", target) == {
        "evaluate": 1,
        "total": 1,
    }


def test_changed_sampling_seed_redoes_only_what_depends_on_it(left_alone, tiny):
    changed = copy.deepcopy(tiny)
    changed["experiments"]["tiny"]["sampling"]["seeds"] = [1]
    left_alone.configure(changed)
    try:
        jobs = left_alone.scheduled()
    finally:
        left_alone.configure(tiny)
    assert set(jobs) - {"total", "all"} == {
        "sample",
        "features",
        "cell_counts",
        "measure",
        "generated_profiles",
        "evaluate",
        "evaluate_matched",
        "evaluate_memorisation",
        "evaluate_morphology",
        "report",
    }


def test_guide_is_the_checkpoint_of_an_earlier_slice(workflow_in, tiny):
    guided = copy.deepcopy(tiny)
    guided["experiments"]["tiny"]["sampling"]["guidance"] = {"scale": 1.5, "guide": 0}
    target = "results/experiments/tiny/samples/training-0_sampling-0/shard-0.zip"
    command = workflow_in("guided", guided).run("-n", "--printshellcmds", "--", target).stdout
    place = "results/experiments/tiny/training/seed-0"
    assert f"--checkpoint {place}/slice-1 " in command
    assert f"--guide {place}/slice-0 " in command


def test_added_plate_makes_only_its_own_shards(left_alone, tiny):
    """With networks that are there already: those trained on the data see the new plate."""
    changed = copy.deepcopy(tiny)
    changed["datasets"]["screen"]["plates"] = 2
    left_alone.configure(changed)
    shards = [
        *(f"results/datasets/screen/images/shard-{k}.zip" for k in range(2)),
        *(f"results/datasets/screen/quality/shard-{k}.parquet" for k in range(2)),
        "results/datasets/screen/fields.parquet",
    ]
    try:
        jobs = left_alone.scheduled("--", *shards)
    finally:
        left_alone.configure(tiny)
    assert jobs == {"simulate": 1, "fields": 1, "total": 2}


def test_a_pipeline_that_is_not_there_stops_beside_finished_measurements(left_alone, tiny):
    changed = copy.deepcopy(tiny)
    changed["morphology"]["cells"]["pipeline"] = "none.cppipe"
    left_alone.configure(changed)
    try:
        done = left_alone.run("-n", check=False)
    finally:
        left_alone.configure(tiny)
    assert done.returncode != 0
    assert "morphology.cells.pipeline: there is no file none.cppipe" in done.stdout + done.stderr


def test_an_environment_made_anew_does_not_hide_what_else_has_to_be_done(left_alone, tiny):
    """Behind a job that has to run, Snakemake skips all that takes its output as `ancient`."""
    changed = copy.deepcopy(tiny)
    changed["datasets"]["screen"]["seed"] = 4
    left_alone.configure(changed)
    try:
        jobs = left_alone.scheduled("--forcerun", "cellprofiler_environment")
    finally:
        left_alone.configure(tiny)
    assert jobs["cellprofiler_environment"] == 1
    assert {"simulate", "train", "measure", "report"} <= set(jobs)


def test_changed_training_seed_keeps_data_and_encoders(left_alone, tiny):
    changed = copy.deepcopy(tiny)
    changed["experiments"]["tiny"]["training"]["seeds"] = [1]
    left_alone.configure(changed)
    try:
        jobs = left_alone.scheduled()
    finally:
        left_alone.configure(tiny)
    untouched = {"simulate", "split", "latents", "targets", "train_autoencoder", "train_encoder"}
    assert not untouched & set(jobs)
    assert jobs["train"] == 2


def test_killed_again_and_again_it_ends_with_the_same_tables(left_alone, tiny, tmp_path):
    """SIGKILL while writing latents, training and sampling; then left to finish."""
    workflow = type(left_alone)(tmp_path / "killed", tiny)
    # What does not follow from what is killed here is taken over, records of provenance included.
    shutil.copytree(left_alone.folder / ".snakemake", workflow.folder / ".snakemake")
    shutil.copytree(left_alone.folder / "results", workflow.folder / "results")
    results, scratch = workflow.folder / "results", workflow.folder / "scratch"
    shutil.rmtree(results / "datasets/screen/latents")
    shutil.rmtree(results / "experiments/tiny")

    def latents() -> bool:
        return any(results.glob("datasets/screen/latents/**/.*partial*"))

    def training() -> bool:
        return any(scratch.glob("training/**/step-*10"))

    def sampling() -> bool:
        return any(scratch.glob("samples/**/batch-*.npz"))

    effects = "results/experiments/tiny/metrics/effects.parquet"
    assert workflow.kill_when(latents, "--", effects)
    assert workflow.kill_when(training, "--", effects)
    assert workflow.kill_when(sampling, "--", effects)
    workflow.run("--", effects)
    for ours, theirs in zip(generated(workflow.folder), generated(left_alone.folder), strict=True):
        assert ours.read_bytes() == theirs.read_bytes()
    tables = [pd.read_parquet(w.folder / effects) for w in (workflow, left_alone)]
    pd.testing.assert_frame_equal(*tables)
