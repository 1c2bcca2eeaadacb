import gzip
from pathlib import Path

import pandas as pd
import pytest
import yaml

from morphpipe.config.splits import Split
from morphpipe.core.errors import DataError
from morphpipe.datasets.sources.rxrx1_subsets import genes_of_sirnas, morphodiff_huvec
from morphpipe.datasets.splits.table import make_split

CONFIG = Path(__file__).resolve().parents[2] / "config" / "config.yaml"
METADATA = Path(__file__).resolve().parents[3] / "shared" / "metadata"


@pytest.fixture
def published():
    if not METADATA.is_dir():
        pytest.skip(f"the published tables are not at {METADATA}")
    return METADATA


def _table(path, *rows):
    path.write_text("siRNA ID,Catalog Number,Gene Symbol\n" + "".join(f"{r}\n" for r in rows))
    return path


def test_the_official_split_is_that_of_the_published_tables(published):
    content = yaml.safe_load(CONFIG.read_text("utf-8"))["splits"]["rxrx1-official"]
    split = Split.model_validate(content)
    experiments = {
        side: set(pd.read_csv(published / f"rxrx1_kaggle_{side}.csv.gz")["experiment"])
        for side in ("train", "test")
    }
    assert (len(experiments["train"]), len(experiments["test"])) == (33, 18)
    assert set(split.hold_out[0]["batch"]) == experiments["test"]
    fields = pd.DataFrame(
        [
            (f"{batch}_{well}", batch, "1", f"B{well:02d}", batch.split("-")[0], "p")
            for batch in sorted(experiments["train"] | experiments["test"])
            for well in range(2, 12)
        ],
        columns=["field_id", "batch", "plate", "well", "cell_type", "perturbation"],
    )
    sides = make_split(fields, split).merge(fields, on="field_id").groupby("split")
    assert set(sides.get_group("test")["batch"]) == experiments["test"]
    assert sides.size().to_dict() == {"encoder": 33, "test": 180, "train": 297}


def test_first_symbol_is_the_gene(tmp_path):
    path = _table(tmp_path / "a.csv", "s1,4,SEMA4D", "s2,4,MTHFS;ST20-MTHFS", "s3,4,", "s4,4,NA")
    assert genes_of_sirnas(path) == {"s1": "SEMA4D", "s2": "MTHFS", "s4": "NA"}
    with gzip.open(tmp_path / "a.csv.gz", "wb") as stream:
        stream.write(path.read_bytes())
    assert genes_of_sirnas(tmp_path / "a.csv.gz") == genes_of_sirnas(path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["s1,4,A", "s1,4,B"], "s1 has two genes, A and B"),
        (["s1,4,A", " ,4,B"], "row 2: the siRNA has no name"),
    ],
)
def test_faulty_tables_are_named(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        genes_of_sirnas(_table(tmp_path / "a.csv", *rows))


def test_other_tables_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"cannot be read as Thermo Fisher's table"):
        genes_of_sirnas(tmp_path / "a.csv")
    with pytest.raises(DataError, match=r"The table of siRNAs .*none\.csv cannot be read"):
        genes_of_sirnas(tmp_path / "none.csv")


def test_morphodiffs_sirnas():
    names = morphodiff_huvec()
    assert len(names) == len(set(names)) == 1061
    assert all(name[0] in "sn" and name[1:].isdigit() for name in names)


def test_list_is_morphodiffs(published):
    for file in ("HUVEC_all_pert_ood_info.csv", "HUVEC_single_batch_pert_ood_info.csv"):
        table = pd.read_csv(published / file)
        assert set(table["perturbation"]) == {*morphodiff_huvec(), "EMPTY"}
        assert not table["ood"].any()


def test_published_export(published):
    genes = genes_of_sirnas(published / "ThermoFisher-export.csv.gz")
    assert len(genes) == 1146
    assert genes["s20592"] == "SEMA4D"
    assert genes["s20785"] == "MTHFS"
    assert "s21506" not in genes
    # MorphoDiff's are the annotated ones: each has a gene.
    assert set(morphodiff_huvec()) <= set(genes)


def test_gzip_is_told_by_content_not_by_name(tmp_path):
    import gzip

    text = b"siRNA ID,Gene Symbol\ns1,ABC1;ABC2\n"
    for name, content in (("plain.csv", text), ("zipped.csv", gzip.compress(text))):
        (tmp_path / name).write_bytes(content)
        assert genes_of_sirnas(tmp_path / name) == {"s1": "ABC1"}
