"""What stands where a verb shall write stays as it is."""

import pytest
import typer.main

from morphpipe.cli import app
from morphpipe.cli.outputs import unused
from morphpipe.errors import ConfigError

# They add to a folder, go on in it, or check what they find there.
ADDING = {"download", "latents", "measure", "preprocess", "targets", "weights", "environment"}


def verbs(command, name=""):
    if hasattr(command, "commands"):
        for part, inner in command.commands.items():
            yield from verbs(inner, f"{name} {part}".strip())
    else:
        yield name, command


def test_every_verb_asks_whether_something_stands_there():
    found = {
        name: parameter.callback is not None
        for name, command in verbs(typer.main.get_command(app))
        for parameter in command.params
        if parameter.name in ("output", "site") and name.split()[-1] not in ADDING
    }
    assert len(found) > 20
    assert all(found.values()), sorted(name for name, asked in found.items() if not asked)


def test_a_file_or_a_folder_with_something_in_it_is_refused(tmp_path):
    assert unused(None) is None
    for free in (tmp_path / "new", tmp_path / "not" / "there"):
        assert unused(free) == free
    (tmp_path / "empty").mkdir()
    assert unused(tmp_path / "empty") == tmp_path / "empty"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    for taken in (tmp_path / "full", tmp_path / "full" / "notes.txt"):
        with pytest.raises(ConfigError, match="is there already"):
            unused(taken)


@pytest.mark.parametrize("verb", [("show",), ("datasets", "export")])
def test_what_stands_there_is_left(morphpipe, make_fields, tmp_path, verb):
    make_fields(tmp_path / "fields.zip", 2)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    ended = morphpipe(*verb, tmp_path / "fields.zip", "--output", tmp_path / "mine")
    assert ended.code == 1
    assert "is there already, a folder with something in it" in ended.err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_what_a_verb_made_may_be_made_again_until_it_is_changed(morphpipe, make_fields, tmp_path):
    make_fields(tmp_path / "fields.zip", 2)
    picture, plate = tmp_path / "fields.png", tmp_path / "plate.zarr"
    for _ in range(2):
        assert morphpipe("show", tmp_path / "fields.zip", "--output", picture).code == 0
        assert morphpipe("datasets", "export", tmp_path / "fields.zip", "--output", plate).code == 0
    picture.write_bytes(picture.read_bytes() + b"mine")
    (plate / "notes.txt").write_text("mine")
    for verb, output in ((("show",), picture), (("datasets", "export"), plate)):
        ended = morphpipe(*verb, tmp_path / "fields.zip", "--output", output)
        assert ended.code == 1
        assert "changed since" in ended.err
    assert (plate / "notes.txt").read_text() == "mine"


def test_input_and_output_may_not_be_one_file(morphpipe, make_fields, tmp_path):
    path = tmp_path / "fields.zip"
    make_fields(path, 2)
    before = path.read_bytes()
    ended = morphpipe("show", path, "--output", path)
    assert ended.code == 1
    assert "is to be read and to be written" in ended.err
    assert path.read_bytes() == before
