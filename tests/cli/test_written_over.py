"""What stands where a verb shall write stays as it is."""

import numpy as np
import pytest
import tifffile
import typer.main
import yaml

from morphpipe.cli import app
from morphpipe.cli.outputs import unused
from morphpipe.core.errors import ConfigError

# They add to a folder that may hold other files. Of an environment the folder is made by its hash.
ADDING = {"measure", "preprocess", "environment"}


def verbs(command, name=""):
    if hasattr(command, "commands"):
        for part, inner in command.commands.items():
            yield from verbs(inner, f"{name} {part}".strip())
    else:
        yield name, command


def outputs():
    """Every parameter that says where to write: verb, parameter, what has to stand before it."""
    for name, command in verbs(typer.main.get_command(app)):
        before = []
        for parameter in command.params:
            if parameter.callback is not None and parameter.name != "show_list":
                yield name, parameter, list(before)
            if parameter.param_type_name == "argument":
                before.append("x")


def test_every_verb_asks_whether_something_stands_there():
    asked = {(name, parameter.name) for name, parameter, _ in outputs()}
    for name, command in verbs(typer.main.get_command(app)):
        for parameter in command.params:
            if name.split()[-1] not in ADDING and parameter.name in ("output", "site", "log"):
                assert (name, parameter.name) in asked
    assert len(asked) > 20


@pytest.mark.parametrize(
    ("verb", "parameter", "before"),
    [pytest.param(*found, id=f"{found[0]} {found[1].name}") for found in outputs()],
)
def test_a_file_of_somebody_else_is_left(morphpipe, tmp_path, verb, parameter, before):
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    option = parameter.opts if parameter.param_type_name == "option" else []
    ended = morphpipe(*verb.split(), *before, *option[:1], mine)
    assert ended.code == 1
    works = parameter.name in ("work", "scratch", "folder")
    assert ("is not a folder" if works else "already exists") in ended.err
    assert "Traceback" not in ended.err
    assert mine.read_text() == "mine"
    nowhere = morphpipe(*verb.split(), *before, *option[:1], mine / "in" / "a" / "file")
    assert nowhere.code
    assert "Traceback" not in nowhere.err


@pytest.fixture
def adding(tmp_path, make_fields, tiny_config):
    """Verbs that add to a folder: what to call, and a file that they would write."""
    make_fields(tmp_path / "fields.zip", 2)
    content = yaml.safe_load(tiny_config.read_text())
    (tmp_path / "sheet.csv").write_text("plate,well,perturbation,DNA\np,A01,DMSO,a.tif\n")
    content["datasets"]["mine"] = {
        "source": "sheet",
        "sheet": str(tmp_path / "sheet.csv"),
        "channels": [{"name": "DNA", "stain": "Hoechst"}],
    }
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(content))
    use = ("--config", config)
    return {
        "measure": (("measure", tmp_path / "fields.zip", "--pipeline", tmp_path), "labels.npz"),
        "preprocess": (("datasets", "preprocess", "mine", *use), "shard-0-quality.parquet"),
    }


@pytest.mark.parametrize("verb", sorted(ADDING - {"environment"}))
@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_a_file_of_somebody_else_in_the_folder_is_left(morphpipe, adding, tmp_path, verb, kind):
    command, name = adding[verb]
    mine = tmp_path / "out" / name
    mine.parent.mkdir()
    if kind == "file":
        mine.write_text("mine")
    elif kind == "folder":
        mine.mkdir()
        (mine / "notes.txt").write_text("mine")
    else:
        mine.symlink_to(tmp_path / "elsewhere")
    ended = morphpipe(*command, "--output", mine.parent)
    assert ended.code == 1
    assert f"{mine} already exists" in ended.err
    assert "Traceback" not in ended.err
    assert [path.name for path in mine.parent.iterdir()] == [name]
    assert mine.is_symlink() == (kind == "link")
    if kind == "file":
        assert mine.read_text() == "mine"


@pytest.mark.parametrize("verb", sorted(ADDING - {"environment"}))
def test_folder_that_is_a_file_is_a_sentence(morphpipe, adding, tmp_path, verb):
    (tmp_path / "out").write_text("mine")
    ended = morphpipe(*adding[verb][0], "--output", tmp_path / "out")
    assert ended.code == 1
    assert "is not a folder" in ended.err
    assert (tmp_path / "out").read_text() == "mine"


def test_interrupted_verb_goes_on_over_what_it_has_made(morphpipe, adding, tmp_path, monkeypatch):
    """Of two plates the second one cannot be read; mended, both are made."""
    pixels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    with open(tmp_path / "sheet.csv", "a") as sheet:
        sheet.write("q,A01,DMSO,b.tif\n")
    text = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(
        text.replace("source: sheet", "source: sheet\n    cell_type: U2OS")
    )
    command, _ = adding["preprocess"]
    out = tmp_path / "out"
    assert morphpipe(*command, "--output", out).code == 1
    assert sorted(path.name for path in out.glob("*.zip")) == ["shard-0.zip"]
    tifffile.imwrite(tmp_path / "b.tif", pixels)
    for _ in range(2):
        ended = morphpipe(*command, "--output", out)
        assert ended.code == 0, ended.err
    assert sorted(path.name for path in out.glob("*.zip")) == ["shard-0.zip", "shard-1.zip"]


def test_a_file_or_a_folder_with_something_in_it_is_refused(tmp_path):
    assert unused(None) is None
    for free in (tmp_path / "new", tmp_path / "not" / "there"):
        assert unused(free) == free
    (tmp_path / "empty").mkdir()
    assert unused(tmp_path / "empty") == tmp_path / "empty"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    for taken in (tmp_path / "full", tmp_path / "full" / "notes.txt"):
        with pytest.raises(ConfigError, match="already exists"):
            unused(taken)


@pytest.mark.parametrize("verb", [("show",), ("export",)])
def test_what_stands_there_is_left(morphpipe, make_fields, tmp_path, verb):
    make_fields(tmp_path / "fields.zip", 2)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    ended = morphpipe(*verb, tmp_path / "fields.zip", "--output", tmp_path / "mine")
    assert ended.code == 1
    assert "already exists, a non-empty folder" in ended.err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_what_a_verb_made_may_be_made_again_until_it_is_changed(morphpipe, make_fields, tmp_path):
    make_fields(tmp_path / "fields.zip", 2)
    picture, plate = tmp_path / "fields.png", tmp_path / "plate.zarr"
    for _ in range(2):
        assert morphpipe("show", tmp_path / "fields.zip", "--output", picture).code == 0
        assert morphpipe("export", tmp_path / "fields.zip", "--output", plate).code == 0
    picture.write_bytes(picture.read_bytes() + b"mine")
    (plate / "notes.txt").write_text("mine")
    for verb, output in ((("show",), picture), (("export",), plate)):
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
    assert "is both input and output" in ended.err
    assert path.read_bytes() == before
