import json

from morphpipe.report.collect import collect

from .conftest import configuration_of

PATHS = {
    "fields": "f.parquet", "quarantine": "q.parquet", "split": "s.parquet", "samples": ["x.zip"],
    "checkpoints": ["c"], "metrics": ["m.parquet"], "features": ["real"],
    "generated_features": ["made"],
}  # fmt: skip


def plain(**paths):
    content = configuration_of().model_dump(mode="json")
    content["paths"] = content["paths"] | paths
    return content


def test_quality_and_leakage_may_be_missing():
    (files,) = collect(plain(), {"small": PATHS}).experiments
    assert files.quality is None
    assert files.leakage is None
    given = PATHS | {"quality": "quality.parquet", "leakage": "by-well-leakage.parquet"}
    (files,) = collect(plain(), {"small": given}).experiments
    assert files.quality.name == "quality.parquet"
    assert files.leakage.name == "by-well-leakage.parquet"


def test_checksums_are_those_of_the_lock_file(tmp_path):
    lock = tmp_path / "lock.json"
    assert collect(plain(lock=str(lock)), {"small": PATHS}).checksums == {}
    lock.write_text(json.dumps({"https://a/b.zip": "12"}))
    assert collect(plain(lock=str(lock)), {"small": PATHS}).checksums == {"https://a/b.zip": "12"}
    lock.write_text("{")
    assert collect(plain(lock=str(lock)), {"small": PATHS}).checksums == {}
