import subprocess
import sys

import pytest


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_morphpipe_stays_light():
    run(
        "import sys, morphpipe, importlib.util\n"
        "assert importlib.util.find_spec('torchvision') is not None\n"
        "assert not {'torch', 'torchvision', 'numpy', 'snakemake'} & set(sys.modules)\n"
        "assert morphpipe.__version__\n"
        "before = list(sys.meta_path); morphpipe._torchvision.install()\n"
        "assert sys.meta_path == before\n"
    )


def test_libraries_that_need_torchvision_import():
    run(
        "import morphpipe, torchvision, timm, torch_fidelity, diffusers.models\n"
        "from torchvision.models import resnet18\n"
        "assert torchvision.__spec__.loader.get_source('torchvision')\n"
    )


@pytest.mark.parametrize(
    ("cuda", "loads", "declared"),
    [("12.8", False, False), (None, True, False), (None, False, True)],
)
def test_operators_are_declared_only_where_nothing_else_does(
    monkeypatch, tmp_path, cuda, loads, declared
):
    import torch

    from morphpipe import _torchvision

    names: list[str] = []
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.library, "define", lambda name, schema: names.append(name))
    if loads:
        (tmp_path / "_C.so").touch()
        monkeypatch.setattr(torch.ops, "load_library", lambda path: None)
    _torchvision._declare_missing_operators(tmp_path)
    assert names == (["torchvision::nms", "torchvision::qnms"] if declared else [])


def test_a_compiled_part_that_does_not_load_is_not_trusted(tmp_path):
    from morphpipe import _torchvision

    (tmp_path / "_C.so").write_bytes(b"not a library")
    assert not _torchvision._compiled_part_loads(tmp_path)
