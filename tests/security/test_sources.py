"""What the sources may not call, read from their syntax."""

import ast
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = [*sorted((REPOSITORY / "src").rglob("*.py")), *(REPOSITORY / "workflow").rglob("*.py")]
# Unpickle, unpack or run what they are given.
FORBIDDEN = {
    "eval", "exec", "os.system", "os.popen", "pickle.load", "pickle.loads", "joblib.load",
    "pd.read_pickle", "pandas.read_pickle", "yaml.load", "yaml.unsafe_load", "yaml.full_load",
    "shutil.unpack_archive", "tarfile.open", "torch.hub.load",
}  # fmt: skip
UNSAFE = {"allow_pickle": True, "weights_only": False, "trust_remote_code": True, "shell": True}


def _calls():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                yield f"{path.relative_to(REPOSITORY)}:{node.lineno}", node


def test_nothing_is_unpickled_unpacked_or_run():
    assert len(FILES) > 200
    for place, call in _calls():
        name = ast.unparse(call.func)
        assert name not in FORBIDDEN, place
        assert not name.endswith(".extractall"), place
        values = {word.arg: getattr(word.value, "value", None) for word in call.keywords}
        for argument, value in UNSAFE.items():
            assert values.get(argument) is not value, (place, argument)
        if name == "torch.load":
            assert values.get("weights_only") is True, place
