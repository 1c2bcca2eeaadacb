"""Jobs know what their inputs were made from, and stop where they do not fit."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from morphpipe.core.checksums import record_files, write_checked_json
from morphpipe.core.errors import DataError
from morphpipe.core.lineage import software
from morphpipe.core.storage import read_parquet, read_parquet_schema, write_parquet
from morphpipe.tables.archive import write_archive
from morphpipe.tables.lineage import identity_of, read_from, read_lineage
from morphpipe.tables.manifest import Channel, ChannelManifest

MANIFEST = ChannelManifest((Channel("DNA", "Hoechst"),), None, 8, "none", "made here")


def write(path, value, made_from=()):
    """A table that a job writes which reads some files."""
    read_from(made_from)
    write_parquet(pa.table({"value": [value]}), path)
    return path


def write_images(path, value, made_from=()):
    read_from(made_from)
    row = {
        "field_id": "f", "dataset": "d", "origin": "real", "cell_type": "c", "batch": "1",
        "plate": "1", "well": "A1", "site": 1, "perturbation": "p", "perturbation_kind": "none",
        "control": "negative",
    }  # fmt: skip
    with write_archive(path, MANIFEST) as archive:
        archive.add(row, np.full((1, 8, 8), value, np.uint8))
    return path


def write_network(folder, value, made_from=()):
    read_from(made_from)
    folder.mkdir(exist_ok=True)
    (folder / "weights.safetensors").write_bytes(bytes([value]))
    record_files(folder, ["weights.safetensors"])
    return folder / "weights.safetensors"


def checkpoint(folder, value, seconds=0):
    folder.mkdir(exist_ok=True)
    sums = {"model.safetensors": str(value), "log.csv": str(seconds)}
    write_checked_json({"step": 1, "identity": "i", "sha256": sums}, folder / "state.json")
    return folder


def test_a_table_says_what_it_was_made_from_by_whom_and_under_which_name(tmp_path):
    fields = write(tmp_path / "fields.parquet", 1)
    (tmp_path / "splits").mkdir()
    split = write(tmp_path / "splits/s.parquet", 2, [fields])
    lineage = read_lineage(split)
    assert lineage.name == "s.parquet"
    assert lineage.software == software()
    assert lineage.software["pyarrow"] == pa.__version__
    assert dict(lineage.inputs) == {str(fields): identity_of(fields)}
    checksum = pq.read_metadata(fields).metadata[b"morphpipe.sha256"].decode()
    assert checksum.startswith(identity_of(fields))
    assert not read_parquet(split).schema.metadata
    assert not read_parquet_schema(split).metadata


def test_it_goes_on_through_all_that_was_made_from_it(tmp_path):
    plate = write_images(tmp_path / "shard-0.zip", 1)
    fields = write(tmp_path / "fields.parquet", 1, [plate])
    network = write_network(tmp_path / "autoencoder", 3, [fields])
    table = write(tmp_path / "metric.parquet", 4, [network])
    record = network.parent / "weights.json"
    assert dict(read_lineage(table).inputs) == {
        str(path): identity_of(path) for path in (plate, fields, record)
    }


def test_a_folder_of_results_can_be_moved(tmp_path):
    (tmp_path / "here").mkdir()
    fields = write(tmp_path / "here/fields.parquet", 1)
    write(tmp_path / "here/split.parquet", 2, [fields])
    shutil.move(tmp_path / "here", tmp_path / "there")
    read_from([tmp_path / "there/fields.parquet", tmp_path / "there/split.parquet"])


def test_an_input_that_is_another_than_the_one_it_was_made_from(tmp_path):
    fields = write(tmp_path / "fields.parquet", 1)
    split = write(tmp_path / "split.parquet", 2, [fields])
    read_from([fields, split])
    write(fields, 7)
    with pytest.raises(DataError, match=r"split\.parquet was made from another .*fields\.parquet"):
        read_from([fields, split])
    # What is not among the inputs is not looked at.
    read_from([split])


def test_two_inputs_that_were_made_from_different_versions_of_a_third(tmp_path):
    split = write(tmp_path / "split.parquet", 1)
    one = write(tmp_path / "one.parquet", 2, [split])
    write(split, 9)
    other = write(tmp_path / "other.parquet", 3, [split])
    message = r"other\.parquet and .*one\.parquet were made from different versions of .*split\.par"
    with pytest.raises(DataError, match=message):
        read_from([one, other])


@pytest.mark.parametrize("kind", ["archive", "network", "checkpoint"])
def test_archives_networks_and_checkpoints_have_an_identity(tmp_path, kind):
    def make(value):
        if kind == "archive":
            return write_images(tmp_path / "shard-0.zip", value)
        if kind == "network":
            return write_network(tmp_path / "autoencoder", value)
        return checkpoint(tmp_path / "slice-0", value)

    table = write(tmp_path / "table.parquet", 1, [make(1)])
    read_from([make(1), table])
    changed = make(2)
    with pytest.raises(DataError, match=r"table\.parquet was made from another"):
        read_from([changed, table])


def test_features_of_other_images(tmp_path):
    images = write_images(tmp_path / "shard-0.zip", 1)
    folder = tmp_path / "features/shard-0"
    folder.mkdir(parents=True)
    write(folder / "all.parquet", 1, [images])
    read_from([images, folder])
    write_images(images, 2)
    with pytest.raises(DataError, match=r"all\.parquet was made from another .*shard-0\.zip"):
        read_from([images, folder])


def test_times_are_no_part_of_a_checkpoints_identity(tmp_path):
    one = identity_of(checkpoint(tmp_path / "a", 1, seconds=1) / "state.json")
    assert one == identity_of(checkpoint(tmp_path / "b", 1, seconds=2) / "state.json")
    assert one != identity_of(checkpoint(tmp_path / "b", 2) / "state.json")


def test_a_file_under_the_name_of_another(tmp_path):
    effects = write(tmp_path / "effects.parquet", 1)
    shutil.copy(effects, tmp_path / "distances.parquet")
    with pytest.raises(DataError, match=r"distances\.parquet was written as effects\.parquet"):
        read_from([tmp_path / "distances.parquet"])


def test_what_others_wrote_carries_none(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "own.parquet")
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
        archive.writestr("a.png", b"1")
    (tmp_path / "plate.csv").write_text("a,b\n")
    inputs = [*tmp_path.iterdir(), tmp_path / "not-there.parquet", Path("/dev/null")]
    table = write(tmp_path / "table.parquet", 1, inputs)
    assert read_lineage(table).inputs == {}


def test_an_input_that_was_edited_with_another_program(tmp_path):
    split = write(tmp_path / "split.parquet", 1)
    table = write(tmp_path / "table.parquet", 2, [split])
    pq.write_table(pa.table({"value": [7]}), split)
    with pytest.raises(DataError, match=r"table\.parquet was made from another .*split\.parquet"):
        read_from([split, table])
    with pytest.raises(DataError, match="has no checksum: it was not written by morphpipe"):
        read_parquet(split, own=True)


def test_a_damaged_input_is_named(tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"bad\.parquet cannot be read"):
        read_from([tmp_path / "bad.parquet"])
