"""What the command line says of itself."""

import inspect
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from morphpipe.cli import app

TOP = typer.main.get_command(app).commands
# Those of `morphpipe datasets` by both words.
COMMANDS = {name: command for name, command in TOP.items() if name != "datasets"} | {
    f"datasets {name}": command for name, command in TOP["datasets"].commands.items()
}
WIDE = {"COLUMNS": "300", "TERM": "dumb"}


def test_verbs():
    assert {name for name, command in COMMANDS.items() if not command.hidden} == {
        "check", "estimate", "downloads", "environment", "simulate", "conditions", "generate",
        "perturb",
        "show", "export", "features", "distance", "measure", "evaluate", "report", "verify",
        "datasets check", "datasets sheet", "datasets preprocess", "datasets crops",
    }  # fmt: skip
    # Jobs of the workflow, which it calls by a shell command.
    assert {name for name, command in COMMANDS.items() if command.hidden} == {"train", "sample"}


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_help_of_a_verb_names_its_options_and_gives_an_example(verb):
    result = CliRunner().invoke(app, [*verb.split(), "--help"], env=WIDE)
    assert result.exit_code == 0, result.output
    for parameter in COMMANDS[verb].params:
        if parameter.param_type_name == "option":
            assert parameter.opts[0] in result.output
        assert parameter.name == "help" or parameter.help, f"{parameter.name} is not explained"
    assert f"morphpipe {verb} " in result.output


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_examples_name_options_that_exist(verb):
    example = inspect.cleandoc(COMMANDS[verb].callback.__doc__).split("Example:")[1]
    used = {word for word in example.split() if word.startswith("--")}
    known = {name for parameter in COMMANDS[verb].params for name in parameter.opts}
    assert used <= known
    required = {p.opts[0] for p in COMMANDS[verb].params if p.required and p.opts[0][0] == "-"}
    assert required <= used


def test_help_is_given_without_the_heavy_libraries():
    script = (
        "import sys, morphpipe.cli\n"
        "from typer.testing import CliRunner\n"
        "for verb in [], ['train'], ['evaluate']:\n"
        "    assert CliRunner().invoke(morphpipe.cli.app, [*verb, '--help']).exit_code == 0\n"
        "print({'torch', 'numpy', 'pandas', 'pyarrow', 'snakemake'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stdout + done.stderr


def test_list_of_what_can_be_simulated_needs_no_output(morphpipe):
    ended = morphpipe("simulate", "--list")
    assert ended.code == 0
    assert "graded-high" in ended.out
    assert "epithelial" in ended.out


def test_check_counts_in_words(morphpipe, tiny_config):
    assert "1 experiment (tiny)" in morphpipe("check", tiny_config).out
