"""What can go wrong on the way: survived, or said in a sentence; never half a file."""

import builtins
import errno
import hashlib
import io
import shutil
import zipfile
from collections import namedtuple

import numpy as np
import pytest

from morphpipe.core.errors import DataError
from morphpipe.datasets.fetch import download, remote_zip
from morphpipe.datasets.fetch.download import fetch
from morphpipe.datasets.fetch.many_files import fetch_plate
from morphpipe.datasets.fetch.remote_zip import fetch_members

RANDOM = np.random.default_rng(0)
# Damaged behind their first bytes, as images may be at their source.
MEMBERS = {
    f"plate/{number}.png": b"\x89PNG\r\n\x1a\n" + RANDOM.bytes(492 + 40 * number)
    for number in range(6)
}


def _zip(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


ARCHIVE = _zip(MEMBERS)
CHANGED = {name: content[::-1] for name, content in MEMBERS.items()}
CUTS = [0, 1, 63, 64, 500, 501, 3000, len(ARCHIVE) - 1]


@pytest.fixture
def server(file_server, monkeypatch):
    monkeypatch.setattr(download, "_CHUNK", 64)
    monkeypatch.setattr(remote_zip, "_CHUNK", 64)
    monkeypatch.setattr(remote_zip, "_TAIL", 200)
    file_server.files = {"images.zip": ARCHIVE, **MEMBERS}
    return file_server


def _whole(server, path):
    fetch(f"{server.url}/images.zip", path)


def _members(server, path):
    fetch_members(f"{server.url}/images.zip", path, wanted=lambda name: True)


def _plate(server, path):
    fetch_plate(server.url, list(MEMBERS), path)


WAYS = pytest.mark.parametrize("bring", [_whole, _members, _plate])


def _check(path):
    with zipfile.ZipFile(path) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == MEMBERS
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def _nothing_under_the_final_name(path):
    assert not path.exists()
    assert {file.name for file in path.parent.iterdir()} <= {
        f"{path.name}.part",
        f"{path.name}.part.json",
    }


@WAYS
@pytest.mark.parametrize("at", CUTS)
def test_cut_connection_is_survived(server, tmp_path, bring, at):
    # The first answers are about the end of the archive; the last ones bring the members.
    server.breaks = [at, None, at, at, None, at]
    bring(server, tmp_path / "a.zip")
    _check(tmp_path / "a.zip")


@WAYS
def test_connection_that_is_cut_always_is_reported(server, tmp_path, bring):
    server.breaks = [0] * 100
    with pytest.raises(DataError, match=r"could not be downloaded after 8 attempts.*rerun"):
        bring(server, tmp_path / "a.zip")
    _nothing_under_the_final_name(tmp_path / "a.zip")
    server.breaks = []
    bring(server, tmp_path / "a.zip")
    _check(tmp_path / "a.zip")


@pytest.mark.parametrize("bring", [_whole, _plate])
def test_length_that_promises_too_much_is_reported(server, tmp_path, bring):
    server.length_shift = 50
    with pytest.raises(DataError, match=r"could not be downloaded after 8 attempts"):
        bring(server, tmp_path / "a.zip")
    _nothing_under_the_final_name(tmp_path / "a.zip")


def test_length_that_promises_too_much_does_not_matter_to_members(server, tmp_path):
    # As much is read as was asked for, and the directory has checksums.
    server.length_shift = 50
    _members(server, tmp_path / "a.zip")
    _check(tmp_path / "a.zip")


def test_length_that_promises_too_little_is_found_by_the_checksum(server, tmp_path):
    server.length_shift = -50
    with pytest.raises(DataError, match=r"expected: it has no directory, .* the file is damaged"):
        fetch(
            f"{server.url}/images.zip",
            tmp_path / "a.zip",
            sha256=hashlib.sha256(ARCHIVE).hexdigest(),
        )
    assert list(tmp_path.iterdir()) == []


def test_server_without_ranges(server, tmp_path):
    server.ranges = False
    with pytest.raises(DataError, match=r"does not support range requests.*the whole archive"):
        _members(server, tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []
    # The other ways need none.
    server.breaks = [500]
    _whole(server, tmp_path / "a.zip")
    _check(tmp_path / "a.zip")


@pytest.mark.parametrize("name", list(MEMBERS)[::5])
def test_damaged_member_is_named(server, tmp_path, name):
    damaged = bytearray(ARCHIVE)
    damaged[ARCHIVE.index(MEMBERS[name]) + 7] ^= 1
    server.files["images.zip"] = bytes(damaged)
    with pytest.raises(DataError, match=rf"{name} arrives damaged from http"):
        _members(server, tmp_path / "a.zip")
    _nothing_under_the_final_name(tmp_path / "a.zip")
    # Once the source is mended the same call goes on.
    server.files["images.zip"] = ARCHIVE
    _members(server, tmp_path / "a.zip")
    _check(tmp_path / "a.zip")


def test_missing_files_are_named_and_not_tried_again(server, tmp_path):
    del server.files["plate/3.png"]
    with pytest.raises(DataError, match=r"/plate/3\.png answers 404: check the address"):
        _plate(server, tmp_path / "a.zip")
    assert [path for path, _ in server.asked].count("plate/3.png") == 1
    _nothing_under_the_final_name(tmp_path / "a.zip")
    server.files["plate/3.png"] = MEMBERS["plate/3.png"]
    server.asked.clear()
    _plate(server, tmp_path / "a.zip")
    _check(tmp_path / "a.zip")
    assert "plate/0.png" not in {path for path, _ in server.asked}


@WAYS
def test_too_little_disk_is_said_before_anything_is_stored(server, tmp_path, monkeypatch, bring):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 100))
    with pytest.raises(DataError, match=r"needs .* GB more, but only 0\.0 GB are free"):
        bring(server, tmp_path / "a.zip")
    _nothing_under_the_final_name(tmp_path / "a.zip")
    part = tmp_path / "a.zip.part"
    assert not part.exists() or part.stat().st_size == 0


@WAYS
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_disk_that_fills_up_is_said_at_once(server, tmp_path, monkeypatch, bring, number):
    class Full(io.FileIO):
        def write(self, data):
            if self.tell() + len(data) > 1500:
                raise OSError(number, "no space")
            return super().write(data)

        def truncate(self, size=None):
            return super().truncate(size)

    real = builtins.open

    def limited(file, mode="r", *arguments, **options):
        if str(file).endswith(".part") and mode != "rb":
            return Full(file, mode.replace("b", ""))
        return real(file, mode, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "open", limited)
        with pytest.raises(
            DataError, match=r"The disk \(or your quota\) is full in .*paths\.cache"
        ):
            bring(server, tmp_path / "a.zip")
    # One attempt for the whole file, no more than one per member.
    asked = [path for path, _ in server.asked]
    assert len(asked) <= {_whole: 1, _members: 5, _plate: len(MEMBERS)}[bring]
    _nothing_under_the_final_name(tmp_path / "a.zip")
    bring(server, tmp_path / "a.zip")
    _check(tmp_path / "a.zip")


def test_other_faults_of_the_disk_are_said_too(server, tmp_path):
    (tmp_path / "a.zip.part").mkdir()
    with pytest.raises(DataError, match=r"a\.zip(\.part)? cannot be written \(Is a directory\)"):
        _members(server, tmp_path / "a.zip")


def test_archive_replaced_while_it_is_read_is_noticed(server, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_zip, "_REQUEST", 1500)
    receive = remote_zip._RemoteFile._receive

    def replaced(self, start, stop, received):
        receive(self, start, stop, received)
        if len(server.asked) > 4:
            server.tags["images.zip"] = '"second"'

    monkeypatch.setattr(remote_zip._RemoteFile, "_receive", replaced)
    with pytest.raises(DataError, match="was replaced at its source while being read"):
        _members(server, tmp_path / "a.zip")
    _nothing_under_the_final_name(tmp_path / "a.zip")


@pytest.mark.parametrize("tag", ['"first"', None])
def test_archive_that_grew_while_it_was_read_is_noticed(server, tmp_path, monkeypatch, tag):
    # Without an ETag its length tells.
    server.tags["images.zip"] = tag
    receive = remote_zip._RemoteFile._receive

    def replaced(self, start, stop, received):
        receive(self, start, stop, received)
        server.files["images.zip"] = ARCHIVE + b"x"

    monkeypatch.setattr(remote_zip._RemoteFile, "_receive", replaced)
    with pytest.raises(DataError, match="was replaced at its source"):
        _members(server, tmp_path / "a.zip")


def test_archive_replaced_between_calls_is_not_mixed(server, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_zip, "_REQUEST", 1000)
    server.statuses = [None] * 5 + [503] * 8
    with pytest.raises(DataError, match="after 8 attempts"):
        _members(server, tmp_path / "a.zip")
    assert (tmp_path / "a.zip.part").stat().st_size > 0
    server.files["images.zip"] = _zip(CHANGED)
    server.tags["images.zip"] = '"second"'
    _members(server, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == CHANGED


@pytest.mark.parametrize("at", [64, 640, 2048])
def test_file_replaced_between_attempts_is_not_glued(server, tmp_path, monkeypatch, at):
    new = _zip(CHANGED)
    server.breaks = [at]

    def sleep(seconds):
        server.files["images.zip"], server.tags["images.zip"] = new, '"second"'

    monkeypatch.setattr(download.time, "sleep", sleep)
    _whole(server, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == new
