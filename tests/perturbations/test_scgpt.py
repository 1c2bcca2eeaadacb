import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from morphpipe.config.conditions import ScGPTCondition
from morphpipe.core.checksums import record_files
from morphpipe.core.errors import DataError, WeightsError
from morphpipe.perturbations.condition_table import build
from morphpipe.perturbations.scgpt import read_gene_encoder

PUBLISHED = (
    Path(__file__).resolve().parents[3] / "shared/metadata/perturbation_embedding_rohban.csv.gz"
)
GENES = {"<pad>": 0, "RAC1": 1, "KRAS": 3, "<cls>": 2}


def _state(width=8):
    random = torch.Generator().manual_seed(0)
    return {
        "encoder.embedding.weight": torch.randn(5, width, generator=random),
        "encoder.enc_norm.weight": torch.rand(width, generator=random) + 0.5,
        "encoder.enc_norm.bias": torch.randn(width, generator=random),
        "decoder.fc.0.bias": torch.zeros(3),
    }


@pytest.fixture
def checkpoint(tmp_path):
    """Write files as scGPT's authors publish them, small."""

    def write(state=None, vocabulary=None, arguments=None):
        folder = tmp_path / "scgpt"
        folder.mkdir(exist_ok=True)
        torch.save(_state() if state is None else state, folder / "best_model.pt")
        (folder / "vocab.json").write_text(json.dumps(GENES if vocabulary is None else vocabulary))
        (folder / "args.json").write_text(json.dumps(arguments or {"embsize": 8, "nheads": 8}))
        return folder

    return write


def test_a_gene_is_its_token_behind_the_layer_norm(checkpoint):
    encoder = read_gene_encoder(checkpoint())
    assert (encoder.names, encoder.width) == (("RAC1", "KRAS"), 8)
    state = {name: tensor.double().numpy() for name, tensor in _state().items()}
    token = state["encoder.embedding.weight"][3]
    normal = (token - token.mean()) / np.sqrt(token.var() + 1e-5)
    expected = normal * state["encoder.enc_norm.weight"] + state["encoder.enc_norm.bias"]
    np.testing.assert_allclose(encoder.take([1]), [expected], rtol=1e-5)


def test_files_that_do_not_belong_together(checkpoint):
    state = _state()
    del state["encoder.enc_norm.bias"]
    with pytest.raises(WeightsError, match=r"has no encoder\.enc_norm\.bias"):
        read_gene_encoder(checkpoint(state))
    with pytest.raises(WeightsError, match="embsize 512"):
        read_gene_encoder(checkpoint(arguments={"embsize": 512}))
    with pytest.raises(WeightsError, match="places 'TP53' at 5, but there are 5"):
        read_gene_encoder(checkpoint(vocabulary=GENES | {"TP53": 5}))
    with pytest.raises(WeightsError, match="not a JSON object"):
        read_gene_encoder(checkpoint(vocabulary=["RAC1"]))
    folder = checkpoint()
    (folder / "vocab.json").unlink()
    with pytest.raises(WeightsError, match=r"vocab\.json does not exist"):
        read_gene_encoder(folder)


def test_no_code_of_a_checkpoint_is_run(checkpoint):
    with pytest.raises(WeightsError, match="pickle of tensors alone"):
        read_gene_encoder(checkpoint({"encoder.embedding.weight": Path("x")}))


def _fields(genes):
    names = list(genes)
    return pd.DataFrame(
        {
            "perturbation": names,
            "control": ["negative" if name == "EMPTY" else "none" for name in names],
            "concentration": np.nan,
            "gene": [genes[name] for name in names],
            "smiles": None,
        }
    )


def test_conditions_by_gene(checkpoint):
    fields = _fields({"12": "RAC1", "13": "Rac1", "14": "MYC", "15": None, "EMPTY": None})
    settings = ScGPTCondition(
        kind="scgpt", weights="genes", form="checkpoint", width=8, missing="leave_out",
        control="ones", extra=["KRAS"],
    )  # fmt: skip
    folder = checkpoint()
    table = build(fields, settings, folder)
    rows = table.rows(["12", "13", "KRAS", "EMPTY"], [None] * 4)
    rac1, same, kras, empty = table.matrix[rows]
    encoder = read_gene_encoder(folder)
    np.testing.assert_array_equal(rac1, encoder.take([0])[0])
    np.testing.assert_array_equal(same, rac1)
    np.testing.assert_array_equal(kras, encoder.take([1])[0])
    np.testing.assert_array_equal(empty, np.ones(8))
    assert dict(table.missing.itertuples(index=False)) == {
        "14": "no gene MYC in scgpt", "15": "no gene",
    }  # fmt: skip
    with pytest.raises(DataError, match=r"2 of 6 .*14 \(no gene MYC.*15 \(no gene\)"):
        build(fields, settings.model_copy(update={"missing": "stop"}), folder)


def test_two_genes_of_one_perturbation(checkpoint):
    fields = pd.concat([_fields({"12": "RAC1"}), _fields({"12": "KRAS"})])
    settings = ScGPTCondition(kind="scgpt", weights="genes", form="checkpoint", width=8)
    with pytest.raises(DataError, match=r"'12' has more than one `gene`.*KRAS, RAC1"):
        build(fields, settings, checkpoint())


def test_a_table_of_another_width(tmp_path):
    (tmp_path / "genes.csv").write_text("rac1,1,2,3\n")
    settings = ScGPTCondition(kind="scgpt", weights="genes")
    with pytest.raises(DataError, match="3 numbers per gene, but the condition's `width` is 512"):
        build(_fields({"RAC1": "RAC1"}), settings, tmp_path)


def test_which_file_of_the_weights(tmp_path):
    fields = _fields({"RAC1": "RAC1"})
    settings = ScGPTCondition(kind="scgpt", weights="genes", width=1)
    with pytest.raises(WeightsError, match="morphpipe weights genes"):
        build(fields, settings, None)
    with pytest.raises(WeightsError, match="there are: none"):
        build(fields, settings, tmp_path)
    (tmp_path / "a.csv").write_text("rac1,1\n")
    record_files(tmp_path, ["a.csv"])
    assert build(fields, settings, tmp_path).matrix.tolist() == [[1]]
    (tmp_path / "b.csv").write_text("rac1,2\n")
    with pytest.raises(WeightsError, match=r"there are: a\.csv, b\.csv"):
        build(fields, settings, tmp_path)
    chosen = settings.model_copy(update={"file": "b.csv"})
    assert build(fields, chosen, tmp_path).matrix.tolist() == [[2]]


def test_the_published_table_of_rohban(tmp_path):
    if not PUBLISHED.is_file():
        pytest.skip(f"the published table is not at {PUBLISHED}")
    genes = ["RAC1", "CDC42", "KRAS", "RHOA", "PAK1", "XBP1", "BRAF"]
    settings = ScGPTCondition(
        kind="scgpt", weights="genes", file=PUBLISHED.name, missing="leave_out"
    )
    table = build(_fields({gene: gene for gene in [*genes, "EGFR"]}), settings, PUBLISHED.parent)
    assert table.matrix.shape == (8, 512)
    assert list(table.missing["perturbation"]) == ["EGFR"]
    # As a layer norm leaves them: about standard, each.
    embedded = table.matrix[table.rows(genes, [None] * 7)]
    np.testing.assert_allclose(embedded.mean(axis=1), 0, atol=0.02)
    np.testing.assert_allclose(embedded.std(axis=1), 1.1, atol=0.1)


def test_genes_that_stand_there_twice(checkpoint):
    folder = checkpoint()
    (folder / "vocab.json").write_text('{"<pad>": 0, "RAC1": 1, "KRAS": 3, "RAC1": 2}')
    with pytest.raises(WeightsError, match=r"vocab\.json cannot be read .*the key 'RAC1' twice"):
        read_gene_encoder(folder)
    folder = checkpoint(vocabulary=GENES | {"CDC42": 3})
    with pytest.raises(WeightsError, match="places 'KRAS' and 'CDC42' both at 3"):
        read_gene_encoder(folder)
    (folder / "vocab.json").write_text('{"RAC1": true}')
    with pytest.raises(WeightsError, match="places 'RAC1' at True"):
        read_gene_encoder(folder)
    (folder / "vocab.json").write_text('{"a":' * 100_000)
    with pytest.raises(WeightsError, match="nested too deeply"):
        read_gene_encoder(folder)
