"""The verb that lists what has to be fetched."""

import pandas as pd
import yaml


def test_listing_is_said_and_written(morphpipe, tmp_path, tiny_config):
    content = yaml.safe_load(tiny_config.read_text())
    content["weights"] = {
        "mirrored": {
            "source": "https://example.org/vae",
            "files": ["config.json", "diffusion_pytorch_model.safetensors"],
            "sha256": {"config.json": "0" * 64},
            "licence": "MIT",
        }
    }
    content["licences"] = {"accept": ["MIT"]}
    content["paths"] = {"cache": str(tmp_path / "cache")}
    content["autoencoders"]["tiny"] = {"origin": "pretrained", "weights": "mirrored"}
    config, output = tmp_path / "config.yaml", tmp_path / "downloads.csv"
    config.write_text(yaml.safe_dump(content))
    there = tmp_path / "cache/weights/mirrored/config.json"
    there.parent.mkdir(parents=True)
    there.touch()

    ended = morphpipe("downloads", config, "--output", output)
    assert ended.code == 0, ended.err
    assert "weights.mirrored (licence: MIT)" in ended.out
    assert "  from  https://example.org/vae/config.json" in ended.out
    assert f"  to    {there} (exists)" in ended.out
    assert "2 files, 1 of them in their places." in ended.out
    assert "CellProfiler's environment" in ended.out
    table = pd.read_csv(output)
    assert list(table) == ["what", "source", "path", "licence", "size", "sha256", "note"]
    assert table["sha256"].notna().tolist() == [True, False]


def test_nothing_is_needed_for_simulated_cells(morphpipe, tiny_config):
    assert "0 files" in morphpipe("downloads", tiny_config).out
