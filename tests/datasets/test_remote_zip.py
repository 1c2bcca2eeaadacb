import hashlib
import io
import zipfile

import numpy as np
import pytest

from morphpipe.core.errors import DataError
from morphpipe.datasets.fetch import remote_zip
from morphpipe.datasets.fetch.remote_zip import fetch_members
from morphpipe.datasets.sources.rxrx1 import build_fields
from morphpipe.tables.zip_directory import archive_checksum, directory_start, members

NAMES = [
    f"rxrx1/images/{experiment}/Plate1/B{well:02d}_s1_w1.png"
    for experiment in ("HEPG2-01", "HUVEC-01", "U2OS-01")
    for well in range(1, 9)
]


def _huvec(name):
    return "/HUVEC-01/" in name


def _archive(compression=zipfile.ZIP_STORED, seed=0, **options):
    """An archive of small random members, and their contents."""
    random = np.random.default_rng(seed)
    contents = {name: random.bytes(int(random.integers(1, 900))) for name in NAMES}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression, **options) as archive:
        archive.mkdir("rxrx1")
        for name, content in contents.items():
            archive.writestr(name, content)
    return buffer.getvalue(), contents


def _check(path, contents, wanted=_huvec):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [name for name in NAMES if wanted(name)]
        for name in archive.namelist():
            assert archive.read(name) == contents[name]


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("scheme", ["http", "file"])
def test_chosen_members_arrive_as_they_are(file_server, tmp_path, compression, scheme):
    data, contents = _archive(compression)
    file_server.files["images.zip"] = data
    (tmp_path / "remote.zip").write_bytes(data)
    url = (
        f"{file_server.url}/images.zip" if scheme == "http" else (tmp_path / "remote.zip").as_uri()
    )
    path = tmp_path / "deep" / "huvec.zip"
    assert fetch_members(url, path, wanted=_huvec) == 8
    _check(path, contents)
    assert [file.name for file in path.parent.iterdir()] == ["huvec.zip"]
    # As the official archive is read: offsets, compression, and the directory's place.
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        assert directory_start(path) == archive.start_dir
    raw = path.read_bytes()
    for member in members(path):
        part = raw[member.offset : member.offset + member.length]
        with zipfile.ZipFile(io.BytesIO(data)) as official:
            assert entries[member.name].compress_type == compression
            assert len(part) == official.getinfo(member.name).compress_size
    assert archive_checksum(path, tmp_path).size == len(raw)


def test_little_more_than_the_wanted_bytes_is_fetched(file_server, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_zip, "_GAP", 0)
    monkeypatch.setattr(remote_zip, "_TAIL", 200)
    data, _ = _archive()
    file_server.files["images.zip"] = data
    fetch_members(f"{file_server.url}/images.zip", tmp_path / "a.zip", wanted=_huvec)
    ranges = [asked for _, asked in file_server.asked]
    # The size, the end, the directory, and the eight neighbours in one.
    assert len(ranges) == 4
    begin, end = map(int, ranges[-1].removeprefix("bytes=").split("-"))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert begin == archive.getinfo(NAMES[8]).header_offset
        assert end == archive.getinfo(NAMES[16]).header_offset - 1


def test_far_members_and_many_bytes_are_asked_for_apart(file_server, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_zip, "_GAP", 0)
    monkeypatch.setattr(remote_zip, "_REQUEST", 2000)
    monkeypatch.setattr(remote_zip, "_TAIL", 200)
    data, contents = _archive()
    file_server.files["images.zip"] = data

    def every_second(name):
        return name in NAMES[::2]

    fetch_members(f"{file_server.url}/images.zip", tmp_path / "a.zip", wanted=every_second)
    _check(tmp_path / "a.zip", contents, every_second)
    file_server.asked.clear()
    fetch_members(f"{file_server.url}/images.zip", tmp_path / "b.zip", wanted=lambda name: True)
    _check(tmp_path / "b.zip", contents, lambda name: True)
    lengths = [
        int(end) - int(begin) + 1
        for begin, end in (r.removeprefix("bytes=").split("-") for _, r in file_server.asked[2:])
    ]
    assert max(lengths) <= 2000


def test_zip64_archives_are_read_and_written(file_server, tmp_path, monkeypatch):
    # zipfile's own limit, lowered: from here on it writes the zip64 end records.
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 5)
    data, contents = _archive()
    assert b"PK\x06\x06" in data
    file_server.files["images.zip"] = data
    path = tmp_path / "a.zip"
    fetch_members(f"{file_server.url}/images.zip", path, wanted=_huvec)
    assert b"PK\x06\x06" in path.read_bytes()
    _check(path, contents)
    assert len(members(path)) == 8
    with zipfile.ZipFile(path) as archive:
        assert directory_start(path) == archive.start_dir


def test_members_beyond_four_gigabytes(tmp_path):
    # A sparse archive: the second member begins behind 5 GB of nothing.
    path = tmp_path / "sparse.zip"
    with open(path, "wb") as stream, zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("first", b"one")
        stream.seek(5 << 30)
        archive.start_dir = stream.tell()
        archive.writestr("second", b"two")
    fetch_members(path.as_uri(), tmp_path / "a.zip", wanted=lambda name: name == "second")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["second"]
        assert archive.read("second") == b"two"


def test_what_an_earlier_call_has_fetched_is_not_fetched_again(file_server, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_zip, "_REQUEST", 1500)
    monkeypatch.setattr(remote_zip, "_TAIL", 200)
    data, contents = _archive()
    file_server.files["images.zip"] = data
    url, path = f"{file_server.url}/images.zip", tmp_path / "a.zip"
    fetch_members(url, path, wanted=_huvec)
    path.unlink()
    needed = list(file_server.asked)
    file_server.asked.clear()
    # All but the last request go well, then the server is away.
    file_server.statuses = [None] * (len(needed) - 1) + [503] * 8
    with pytest.raises(DataError, match=r"after 8 attempts.*rerun"):
        fetch_members(url, path, wanted=_huvec)
    assert [file.name for file in tmp_path.iterdir()] == ["a.zip.part"]
    file_server.asked.clear()
    fetch_members(url, path, wanted=_huvec)
    # The size, the end and the directory are read again, and of the members the last request.
    directory = (len(data) - zipfile.ZipFile(io.BytesIO(data)).start_dir) // 1500 + 1
    assert file_server.asked == needed[: 2 + directory] + needed[-1:]
    assert len(needed) > len(file_server.asked)
    _check(path, contents)


def test_part_that_was_cut_at_any_byte_is_continued(tmp_path):
    data, contents = _archive()
    (tmp_path / "remote.zip").write_bytes(data)
    url, path = (tmp_path / "remote.zip").as_uri(), tmp_path / "a.zip"
    fetch_members(url, path, wanted=_huvec)
    whole = path.read_bytes()
    part = tmp_path / "a.zip.part"
    for cut in [*range(0, len(whole), 293), len(whole) - 1, len(whole)]:
        path.unlink()
        part.write_bytes(whole[:cut])
        fetch_members(url, path, wanted=_huvec)
        assert path.read_bytes() == whole
        assert not part.exists()
    # A byte that has rotted on the disk.
    rotten = bytearray(whole)
    rotten[len(whole) // 3] ^= 1
    part.write_bytes(rotten)
    fetch_members(url, path, wanted=_huvec)
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(whole).digest()
    _check(path, contents)


def test_part_of_another_selection_is_not_mixed_in(file_server, tmp_path):
    data, contents = _archive()
    file_server.files["images.zip"] = data
    url, path = f"{file_server.url}/images.zip", tmp_path / "a.zip"
    fetch_members(url, path, wanted=lambda name: "U2OS" in name)
    path.rename(tmp_path / "a.zip.part")
    fetch_members(url, path, wanted=_huvec)
    _check(path, contents)


def test_no_wanted_member_and_no_zip(file_server, tmp_path):
    data, _ = _archive()
    file_server.files |= {"images.zip": data, "page.html": b"<html>" * 300}
    seen = []
    with pytest.raises(DataError, match=r"None of the 24 members .*the first are rxrx1/images/"):
        fetch_members(
            f"{file_server.url}/images.zip",
            tmp_path / "a.zip",
            wanted=lambda name: seen.append(name),
        )
    assert seen == NAMES
    with pytest.raises(DataError, match=r"page\.html cannot be read as a zip archive"):
        fetch_members(f"{file_server.url}/page.html", tmp_path / "a.zip", wanted=_huvec)
    assert list(tmp_path.iterdir()) == []


def test_unreadable_members_are_named(tmp_path):
    data, _ = _archive(zipfile.ZIP_BZIP2)
    (tmp_path / "remote.zip").write_bytes(data)
    with pytest.raises(DataError, match=r"HUVEC-01.* compressed by method 12"):
        fetch_members((tmp_path / "remote.zip").as_uri(), tmp_path / "a.zip", wanted=_huvec)


def test_real_sites_out_of_the_archive(mirror, tmp_path):
    source = mirror / "rxrx" / "rxrx1"
    images = tmp_path / "plate1.zip"
    count = fetch_members(
        (source / "rxrx1-images.zip").as_uri(),
        images,
        wanted=lambda name: "/HEPG2-01/Plate1/" in name,
    )
    assert count == 12
    fields, quarantine = build_fields(
        images, source / "rxrx1-metadata.zip", tmp_path, quarantine=True
    )
    assert fields.field_ids == ["HEPG2-01_1_B02_1", "HEPG2-01_1_B03_1"]
    assert len(quarantine) == 3
