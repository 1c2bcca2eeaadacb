import pytest

from morphpipe.core.console import describe
from morphpipe.core.errors import DataError, MorphpipeError

SCRIPT = """
    import os
    import sys
    from morphpipe.core.console import log_to
    from morphpipe.core.errors import DataError

    log_to(sys.argv[1], echo=sys.argv[2] == "echo")
    print("on stdout")
    print("on stderr", file=sys.stderr)
    os.write(2, b"from C\\n")
    raise (DataError("the file is bad") if sys.argv[3] == "user" else KeyError("ours"))
"""


def test_mistakes_of_the_user_are_one_sentence_and_faults_keep_their_traceback():
    assert describe(DataError("x is bad.")) == "DataError: x is bad."
    assert "Traceback" not in describe(MorphpipeError("y"))
    with pytest.raises(KeyError) as caught:
        {}["z"]
    assert "Traceback" in describe(caught.value)
    assert "test_console" in describe(caught.value)


def test_log_holds_everything_and_the_terminal_the_sentence(run_python, tmp_path):
    log = tmp_path / "deep" / "job.log"
    process = run_python(SCRIPT, log, "quiet", "user")
    terminal = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    written = log.read_text()
    for text in ("on stdout", "on stderr", "from C", "DataError: the file is bad"):
        assert text in written
    assert "Traceback" not in written + terminal
    assert "DataError: the file is bad" in terminal
    assert str(log) in terminal
    assert "on stderr" not in terminal


def test_echo_shows_messages_on_the_terminal_too(run_python, tmp_path):
    process = run_python(SCRIPT, tmp_path / "job.log", "echo", "ours")
    terminal = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert "on stderr" in terminal
    assert "on stderr" in (tmp_path / "job.log").read_text()
    assert "Traceback" in (tmp_path / "job.log").read_text()
    assert "Traceback" not in terminal
    assert "job.log" in terminal
