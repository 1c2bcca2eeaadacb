"""The runner as the command line runs it; what it measures is compared with what was drawn."""

import hashlib
import os
import signal
import subprocess
import time
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from morphpipe.datasets.sources.rxrx1 import MANIFEST
from morphpipe.imaging.rgb import rxrx1_to_rgb
from morphpipe.morphology.environment import variables
from morphpipe.morphology.tables import read_image_measurements, read_source
from morphpipe.tables.archive import write_archive
from morphpipe.tables.field_reader import read_images
from morphpipe.tables.fields import FIELD_SCHEMA, FieldTable, write_fields
from morphpipe.tables.png import encode_png

from .conftest import draw_field, measure_command

CELLS = (4, 3, 0, 5)


def images_of(measured):
    return read_image_measurements([measured.image]).set_index("field_id")


def objects_of(measured):
    return pq.read_table(measured.objects).to_pandas()


_MEASURED = {}


@pytest.fixture
def measured(make_screen, tmp_path_factory, pipeline, measure):
    """Four fields in two batches, measured once for the tests that only look at the tables."""
    if not _MEASURED:
        folder = tmp_path_factory.mktemp("screen")
        make_screen(folder / "screen.zip", CELLS)
        options = ("--batch-size", 3, "--keep-labels", 2)
        result = measure(folder / "screen.zip", pipeline, folder, *options)
        assert result.code == 0, result.said
        _MEASURED["once"] = result
    return _MEASURED["once"]


def test_cells_are_counted_and_measured_as_they_were_drawn(measured):
    images = images_of(measured)
    assert images["status"].tolist() == ["measured"] * 4
    assert images["reason"].isna().all()
    assert images["Count_Nuclei"].tolist() == list(CELLS)
    assert images["Count_Cells"].tolist() == list(CELLS)
    objects = objects_of(measured)
    nuclei = objects[objects["compartment"] == "Nuclei"]
    assert nuclei.groupby("field_id").size().to_dict() == {"f0": 4, "f1": 3, "f3": 5}
    for _, group in nuclei.groupby("field_id"):
        assert group["object"].tolist() == list(range(1, len(group) + 1))
    # Discs of radius 7.5 and 15.5 at half their height.
    cells = objects[objects["compartment"] == "Cells"]
    assert nuclei["AreaShape_Area"].to_numpy() == pytest.approx(np.pi * 7.5**2, rel=0.05)
    assert cells["AreaShape_Area"].to_numpy() == pytest.approx(np.pi * 15.5**2, rel=0.05)
    assert set(np.round(nuclei["AreaShape_Center_X"]).astype(int)) <= {20, 54, 88}
    assert objects["Parent_Nuclei"].notna().equals(objects["compartment"] == "Cells")


def test_an_empty_field_counts_zero_and_is_no_error(measured):
    empty = images_of(measured).loc["f2"]
    assert empty["status"] == "measured"
    assert empty["Count_Nuclei"] == 0
    assert "f2" not in set(objects_of(measured)["field_id"])
    assert empty["Intensity_MeanIntensity_DNA"] > 0


def test_tables_hold_measurements_only_and_say_what_they_are(measured, pipeline):
    columns = [*images_of(measured).columns, *objects_of(measured).columns]
    words = ("FileName", "PathName", "URL", "MD5", "Metadata", "ExecutionTime", "ModuleError")
    assert not [column for column in columns if column.startswith((*words, "Group", "ImageNumber"))]
    source = read_source(measured.objects)
    assert source == read_source(measured.image)
    assert source.pipeline == "small.cppipe"
    assert source.pipeline_sha256 == hashlib.sha256(pipeline.read_bytes()).hexdigest()
    assert source.channels == {"DNA": "DNA", "ER": "ER"}


def test_objects_have_a_row_group_per_batch(measured):
    file = pq.ParquetFile(measured.objects)
    groups = [file.read_row_group(i)["field_id"].to_pylist() for i in range(file.num_row_groups)]
    assert [set(group) for group in groups] == [{"f0", "f1"}, {"f3"}]


def test_labels_are_kept_of_the_fields_with_the_smallest_hash(measured):
    chosen = sorted(
        (f"f{i}" for i in range(4)), key=lambda name: hashlib.sha256(name.encode()).hexdigest()
    )[:2]
    with np.load(measured.labels) as labels:
        assert set(labels) == {f"{name}/{kind}" for name in chosen for kind in ("Nuclei", "Cells")}
        for name in chosen:
            label = labels[f"{name}/Nuclei"]
            assert label.dtype == np.int32
            assert label.shape == (128, 128)
            # A nucleus lies inside the cell of its number.
            assert (labels[f"{name}/Cells"][label > 0] == label[label > 0]).all()
            nuclei = objects_of(measured).query(f"field_id == '{name}' & compartment == 'Nuclei'")
            areas = np.bincount(label.ravel(), minlength=len(nuclei) + 1)[1:]
            assert areas.tolist() == nuclei["AreaShape_Area"].tolist()


def test_progress_and_time_are_said(measured):
    assert "4 fields measured, 0 failed" in measured.said
    assert "s per field" in measured.said


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_intensities_are_shares_of_what_the_type_can_hold(
    make_screen, measure, pipeline, tmp_path, bit_depth
):
    fields = make_screen(tmp_path / "screen.zip", (3,), bit_depth=bit_depth)
    result = measure(tmp_path / "screen.zip", pipeline, tmp_path)
    assert result.code == 0, result.said
    pixels = read_images(fields)[0] / (2.0**bit_depth - 1)
    row = images_of(result).iloc[0]
    for name, plane in zip(("DNA", "ER"), pixels, strict=True):
        assert row[f"Intensity_MeanIntensity_{name}"] == pytest.approx(plane.mean(), rel=1e-6)
        assert row[f"Intensity_MaxIntensity_{name}"] == pytest.approx(plane.max(), rel=1e-6)


def test_fields_are_rendered_as_rgb_where_asked(make_pipeline, measure, make_row, tmp_path):
    stack = np.round(draw_field(1, channels=6) * 255).astype(np.uint8)
    with write_archive(tmp_path / "six.zip", MANIFEST) as archive:
        archive.add(make_row("a"), stack)
    pipeline = make_pipeline(tmp_path / "rgb.cppipe", "blue", "green")
    result = measure(tmp_path / "six.zip", pipeline, tmp_path, "--images", "rgb")
    assert result.code == 0, result.said
    row = images_of(result).iloc[0]
    rendered = rxrx1_to_rgb(stack) / 255.0
    for name, plane in (("green", rendered[..., 1]), ("blue", rendered[..., 2])):
        assert row[f"Intensity_MeanIntensity_{name}"] == pytest.approx(plane.mean(), rel=1e-6)
    assert read_source(result.image).images == "rgb"
    assert read_source(result.image).channels == {"blue": "blue", "green": "green"}


def test_images_without_a_rule_for_rgb_stop_before_the_first_module(
    make_screen, measure, pipeline, tmp_path
):
    make_screen(tmp_path / "screen.zip", (1,))
    result = measure(tmp_path / "screen.zip", pipeline, tmp_path, "--images", "rgb")
    assert result.code == 1
    assert "no rule how the channels DNA, ER become RGB" in result.said


def test_a_pipeline_with_other_names_is_told_which_channels_are_meant(
    make_pipeline, make_screen, measure, tmp_path
):
    make_screen(tmp_path / "screen.zip", (2,))
    pipeline = make_pipeline(tmp_path / "own.cppipe", "OrigBlue", "OrigGreen")
    channels = ("--channel", "OrigBlue=DNA", "--channel", "OrigGreen=ER")
    result = measure(tmp_path / "screen.zip", pipeline, tmp_path, *channels)
    assert result.code == 0, result.said
    assert images_of(result)["Count_Nuclei"].tolist() == [2]
    assert read_source(result.image).channels == {"OrigBlue": "DNA", "OrigGreen": "ER"}


def test_channels_that_do_not_fit_stop_before_the_first_module(
    make_pipeline, make_screen, measure, measure_each, tmp_path
):
    make_screen(tmp_path / "screen.zip", (2,))
    pipeline = make_pipeline(tmp_path / "own.cppipe", "OrigBlue", "OrigGreen")
    result = measure(tmp_path / "screen.zip", pipeline, tmp_path)
    assert result.code == 1
    assert "needs OrigBlue, OrigGreen, but the fields have the channels DNA, ER" in result.said
    assert "Traceback" not in result.said
    assert not result.scratch.exists()
    assert not result.image.exists()
    ended = measure_each(
        tmp_path / "screen.zip",
        pipeline,
        tmp_path,
        ("--channel", "OrigBlue=DNA", "--channel", "OrigGreen=Mito"),
        ("--channel", "OrigRed=DNA"),
        ("--channel", "OrigBlue"),
    )
    expected = (
        "needs OrigGreen (channel Mito), but the fields",
        "has no image 'OrigRed'",
        "'OrigBlue' does not map an image",
    )
    for (code, said), sentence in zip(ended, expected, strict=True):
        assert code == 1
        assert sentence in said
    assert not result.scratch.exists()


def damage(archive, member):
    """Flip a byte among the pixels of a member."""
    with zipfile.ZipFile(archive) as opened:
        entry = opened.getinfo(member)
        middle = entry.header_offset + 30 + len(member) + entry.compress_size // 2
    content = bytearray(archive.read_bytes())
    content[middle] ^= 0xFF
    archive.write_bytes(content)


def test_a_corrupt_plane_costs_its_field_only(make_screen, measure, pipeline, tmp_path):
    archive = tmp_path / "screen.zip"
    make_screen(archive, CELLS)
    damage(archive, "f1/ER.png")
    result = measure(archive, pipeline, tmp_path, "--maximum-failed", 0.25)
    assert result.code == 0, result.said
    images = images_of(result)
    assert images["status"].tolist() == ["measured", "failed", "measured", "measured"]
    assert "Field f1, channel ER" in images["reason"]["f1"]
    assert "not the plane that the archive was written with" in images["reason"]["f1"]
    measurements = images.loc["f1"].drop(["status", "reason"])
    assert measurements.isna().all()
    assert set(objects_of(result)["field_id"]) == {"f0", "f3"}
    assert "Field f1 failed" in result.said


def test_more_failed_fields_than_allowed_end_the_stage_after_all_were_tried(
    make_screen, measure, pipeline, tmp_path
):
    archive = tmp_path / "screen.zip"
    make_screen(archive, CELLS)
    damage(archive, "f1/ER.png")
    result = measure(archive, pipeline, tmp_path, "--maximum-failed", 0.24, "--batch-size", 2)
    assert result.code == 1
    assert "1 of 4 fields failed, more than the maximum fraction 0.24" in result.said
    assert "f1: Field f1, channel ER" in result.said
    assert "Traceback" not in result.said
    assert not result.image.exists()
    kept = sorted(result.scratch.glob("*.image.parquet"))
    assert len(kept) == 2
    # With a higher limit, what was measured is used.
    times = [path.stat().st_mtime_ns for path in kept]
    assert (
        measure(archive, pipeline, tmp_path, "--maximum-failed", 0.25, "--batch-size", 2).code == 0
    )
    assert [path.stat().st_mtime_ns for path in kept] == times


@pytest.fixture
def loose(make_manifest, make_row, tmp_path):
    """Three fields whose planes are files of their own, one of a size that the table denies."""
    rows = []
    for i in range(3):
        image = np.round(draw_field(i, cells=3) * 255).astype(np.uint8)
        planes = []
        for name, plane in zip(("DNA", "ER"), image, strict=True):
            (tmp_path / f"f{i}_{name}.png").write_bytes(encode_png(plane))
            planes.append({"file": f"f{i}_{name}.png"})
        size = {"height": 128 if i != 2 else 80, "width": 128}
        rows.append(dict.fromkeys(FIELD_SCHEMA.names) | make_row(f"f{i}") | size)
        rows[-1]["channels"] = planes
    table = pa.Table.from_pylist(rows, schema=FIELD_SCHEMA)
    write_fields(FieldTable(table, make_manifest(), tmp_path), tmp_path / "fields.parquet")
    return tmp_path


def test_a_missing_and_a_wrong_shaped_field_fail_and_the_others_go_on(loose, measure, pipeline):
    away = (loose / "f0_ER.png").rename(loose / "away.png")
    result = measure(loose / "fields.parquet", pipeline, loose, "--maximum-failed", 1)
    assert result.code == 0, result.said
    images = images_of(result)
    assert images["status"].tolist() == ["failed", "measured", "failed"]
    assert "No such file" in images["reason"]["f0"]
    assert "has 128x128 pixels, the field table says 80x128" in images["reason"]["f2"]
    # Put back, it is measured.
    away.rename(loose / "f0_ER.png")
    again = measure(loose / "fields.parquet", pipeline, loose, "--maximum-failed", 1)
    assert images_of(again)["status"].tolist() == ["measured", "measured", "failed"]


def test_ids_that_look_like_something_else_stay_ids(make_screen, measure, pipeline, tmp_path):
    ids = ["a=b+c.d-e_f", "file", "1e5", "nan", "x" * 150]
    make_screen(tmp_path / "screen.zip", (2,) * len(ids), ids=ids)
    result = measure(tmp_path / "screen.zip", pipeline, tmp_path, "--keep-labels", len(ids))
    assert result.code == 0, result.said
    assert images_of(result).index.tolist() == ids
    assert objects_of(result)["field_id"].drop_duplicates().tolist() == ids
    with np.load(result.labels) as labels:
        assert {key.partition("/")[0] for key in labels} == set(ids)


def test_no_fields_give_tables_without_rows(make_screen, measure, pipeline, tmp_path):
    make_screen(tmp_path / "screen.zip", (2,))
    result = measure(tmp_path / "screen.zip", pipeline, tmp_path, "--cell-type", "RPE")
    assert result.code == 0, result.said
    assert len(images_of(result)) == len(objects_of(result)) == 0
    assert "Count_Nuclei" in images_of(result)


def test_a_killed_run_goes_on_and_gives_the_same_tables(
    make_screen, measure, cellprofiler, pipeline, tmp_path
):
    archive = tmp_path / "screen.zip"
    make_screen(archive, (2, 3, 4, 1, 2, 3, 4, 5))
    killed = tmp_path / "killed"
    process = subprocess.Popen(
        measure_command(cellprofiler, archive, pipeline, killed, "--batch-size", 1),
        env=variables(),
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 120
    while not (done := list(killed.glob("scratch/*.image.parquet"))):
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (killed / "image.parquet").exists()
    first = {path: path.stat().st_mtime_ns for path in done}
    resumed = measure(archive, pipeline, killed, "--batch-size", 1)
    whole = measure(archive, pipeline, tmp_path / "whole", "--batch-size", 1)
    assert resumed.code == whole.code == 0
    assert {path: path.stat().st_mtime_ns for path in done} == first
    assert resumed.objects.read_bytes() == whole.objects.read_bytes()
    assert resumed.labels.read_bytes() == whole.labels.read_bytes()
    assert resumed.image.read_bytes() == whole.image.read_bytes()


def test_what_a_field_measures_does_not_depend_on_its_batch(
    make_screen, measure, pipeline, tmp_path
):
    make_screen(tmp_path / "screen.zip", CELLS)
    small = measure(tmp_path / "screen.zip", pipeline, tmp_path / "1", "--batch-size", 1)
    large = measure(tmp_path / "screen.zip", pipeline, tmp_path / "4", "--batch-size", 4)
    pd.testing.assert_frame_equal(objects_of(small), objects_of(large), check_exact=True)
    assert len(list(small.scratch.glob("*.image.parquet"))) == 4
    assert len(list(large.scratch.glob("*.image.parquet"))) == 1


def test_another_pipeline_does_not_take_up_finished_batches(
    make_screen, make_pipeline, measure, pipeline, tmp_path
):
    make_screen(tmp_path / "screen.zip", (2,))
    measure(tmp_path / "screen.zip", pipeline, tmp_path)
    other = make_pipeline(tmp_path / "small.cppipe", "ER", "DNA")
    result = measure(tmp_path / "screen.zip", other, tmp_path)
    assert len(list(result.scratch.glob("*.image.parquet"))) == 2
    assert (
        read_source(result.image).pipeline_sha256 == hashlib.sha256(other.read_bytes()).hexdigest()
    )


def test_settings_out_of_range_are_said(make_screen, measure_each, pipeline, tmp_path):
    make_screen(tmp_path / "screen.zip", (1,))
    ended = measure_each(
        tmp_path / "screen.zip",
        pipeline,
        tmp_path / "out",
        ("--batch-size", 0),
        ("--maximum-failed", 1.5),
        ("--keep-labels", -1),
    )
    expected = ("be at least 1, not 0", "from 0 to 1, not 1.5", "be at least 0, not -1")
    for (code, said), sentence in zip(ended, expected, strict=True):
        assert code == 1
        assert sentence in said
    assert not (tmp_path / "out").exists()
