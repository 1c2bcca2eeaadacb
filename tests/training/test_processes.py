import pytest
import torch

from morphpipe.core.errors import ConfigError
from morphpipe.tables.array_shards import ArrayShards
from morphpipe.training.processes import join_processes, shared_shards


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    with pytest.raises(ConfigError, match=r"training\.devices is 4, but this job sees 1 GPU on a"):
        join_processes()


@pytest.mark.parametrize("staging", [None, "$NODE_DISK", "$NOT_SET"])
def test_one_process_checks_what_it_reads(make_data, tmp_path, monkeypatch, capsys, staging):
    make_data()
    (tmp_path / "disk").mkdir()
    monkeypatch.setenv("NODE_DISK", str(tmp_path / "disk"))
    indices = [tmp_path / "moments0.parquet", tmp_path / "moments1.parquet"]
    with shared_shards([indices], staging) as shared:
        copied = staging == "$NODE_DISK"
        assert (tmp_path / "disk" in shared.indices[0][0].parents) == copied
        # What is copied is compared with its checksum on the way.
        assert shared.verify != copied
        shards = ArrayShards(shared.indices[0], verify=shared.verify)
    assert list((tmp_path / "disk").iterdir()) == []
    assert len(shards.read(shards.index["position"].to_numpy())) == 10
    said = capsys.readouterr()
    assert ("NOT_SET is not set here: reading" in said.out + said.err) == (staging == "$NOT_SET")


def test_copies_do_not_outlive_a_failure(make_data, tmp_path):
    make_data()
    (tmp_path / "disk").mkdir()
    with (
        pytest.raises(KeyboardInterrupt),
        shared_shards([[tmp_path / "moments0.parquet"]], str(tmp_path / "disk")),
    ):
        raise KeyboardInterrupt
    assert list((tmp_path / "disk").iterdir()) == []
