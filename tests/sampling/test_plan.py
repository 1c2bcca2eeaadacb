import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphpipe.config.conditions import RandomCondition
from morphpipe.config.sampling import Sampling
from morphpipe.core.errors import DataError
from morphpipe.perturbations.condition_table import build
from morphpipe.perturbations.vocabulary import Vocabulary
from morphpipe.sampling.plan import plan_shard, read_conditions, sampling_plan

FIELDS = pd.DataFrame(
    [
        (cell_type, perturbation, kind, control)
        for cell_type in ("U2OS", "HUVEC")
        for perturbation, kind, control in (
            ("b", "sirna", "none"),
            ("a", "sirna", "positive"),
            ("control", "none", "negative"),
        )
        for _ in range(2)
    ],
    columns=["cell_type", "perturbation", "perturbation_kind", "control"],
)
VOCABULARY = Vocabulary(
    ("NA", "a", "control"), ("HUVEC", "U2OS"), ("sirna", "sirna", "none"), ("control",)
)


def test_every_condition_is_there_as_often_as_configured():
    plan = sampling_plan(FIELDS, Sampling(per_condition=3))
    assert plan["sample_index"].tolist() == list(range(18))
    counts = plan.groupby(["cell_type", "perturbation"]).size()
    assert counts.to_dict() == {(c, p): 3 for c in ("HUVEC", "U2OS") for p in ("a", "b", "control")}
    first = plan.drop_duplicates("perturbation").set_index("perturbation")
    assert first["control"].to_dict() == {"a": "positive", "b": "none", "control": "negative"}
    assert first["perturbation_kind"].to_dict() == {"a": "sirna", "b": "sirna", "control": "none"}


def test_one_set_has_each_image_under_every_perturbation():
    plan = sampling_plan(FIELDS, Sampling(per_condition=3, one_set=True))
    own = sampling_plan(FIELDS, Sampling(per_condition=3))
    assert own["image"].tolist() == list(range(18))
    assert plan["image"].tolist() == np.repeat(np.arange(6), 3).tolist()
    assert plan["sample_index"].tolist() == list(range(18))
    shared = plan.groupby("image")
    assert (shared["perturbation"].apply(list).map(len) == 3).all()
    assert (shared["perturbation"].nunique() == 3).all()
    assert (shared["cell_type"].nunique() == 1).all()
    assert (shared["index_in_condition"].nunique() == 1).all()
    columns = ["cell_type", "perturbation", "index_in_condition", "control", "perturbation_kind"]
    assert set(plan[columns].itertuples(index=False)) == set(own[columns].itertuples(index=False))
    # An image is never divided between shards.
    parts = [plan_shard(plan, shard, 4) for shard in range(4)]
    assert sum(map(len, parts)) == 18
    assert sum(part["image"].nunique() for part in parts) == 6


def test_selection_and_random_draw():
    plan = sampling_plan(FIELDS, Sampling(per_condition=1, cell_types=["U2OS"]))
    assert set(plan["cell_type"]) == {"U2OS"}
    chosen = [
        tuple(
            sampling_plan(
                FIELDS,
                Sampling(
                    per_condition=1,
                    perturbations=["control"],
                    random_perturbations=1,
                    seeds=[seed, 99],
                ),
            )["perturbation"].unique()
        )
        for seed in range(12)
    ]
    assert set(chosen) == {("control", "a"), ("control", "b")}
    with pytest.raises(DataError, match="random_perturbations is 3, but only 2"):
        sampling_plan(FIELDS, Sampling(perturbations=["control"], random_perturbations=3))


def _table(**settings):
    fields = FIELDS.assign(
        concentration=np.where(FIELDS["perturbation"] == "b", 3.0, np.nan), gene=None, smiles=None
    )
    higher = fields[fields["perturbation"] == "b"].assign(concentration=10.0)
    condition = RandomCondition(kind="random", width=4, **settings)
    return build(pd.concat([fields, higher]), condition, None)


def test_what_has_an_embedding_can_be_generated_whether_in_the_data_or_not():
    table = _table(extra=["new"])
    assert set(sampling_plan(FIELDS, Sampling(), table)["perturbation"]) == {"a", "b", "control"}
    plan = sampling_plan(FIELDS, Sampling(per_condition=2, perturbations=["new", "a"]), table)
    assert plan["perturbation"].unique().tolist() == ["new", "a"]
    new = plan[plan["perturbation"] == "new"].iloc[0]
    assert (new["perturbation_kind"], new["control"]) == ("sirna", "none")
    with pytest.raises(DataError, match="'other'"):
        sampling_plan(FIELDS, Sampling(perturbations=["other"]), table)


def test_each_concentration_is_a_condition_where_embeddings_depend_on_it():
    plan = sampling_plan(
        FIELDS,
        Sampling(per_condition=2, cell_types=["U2OS"]),
        _table(concentration="appended"),
    )
    counts = plan.groupby(["perturbation", "concentration"], dropna=False).size()
    assert counts["b"].to_dict() == {3.0: 2, 10.0: 2}
    assert len(plan) == 2 * 4
    assert plan["index_in_condition"].tolist() == [0, 1] * 4


def test_list_of_conditions_of_embeddings(tmp_path):
    path = _conditions(tmp_path, "cell_type,perturbation,images\nU2OS,new,1\n")
    plan = read_conditions(path, VOCABULARY, _table(extra=["new"]))
    assert plan["perturbation_kind"].tolist() == ["sirna"]
    with pytest.raises(DataError, match=r"new.*not in the table"):
        read_conditions(path, VOCABULARY, _table())


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"perturbations": ["a", "zz"]}, "perturbation 'zz'.* they have a, b, control"),
        ({"cell_types": ["HeLa"]}, "cell type 'HeLa'.* they have HUVEC, U2OS"),
    ],
)
def test_unknown_conditions_are_refused_with_the_known(choice, message):
    with pytest.raises(DataError, match=message):
        sampling_plan(FIELDS, Sampling(**choice))


@given(number=st.integers(1, 60), shards=st.integers(1, 60))
def test_shards_cover_every_image_exactly_once_and_evenly(number, shards):
    plan = pd.DataFrame({"sample_index": np.arange(number), "image": np.arange(number)})
    if shards > number:
        with pytest.raises(DataError, match=r"sampling\.shards"):
            plan_shard(plan, 0, shards)
        return
    parts = [plan_shard(plan, shard, shards)["sample_index"].tolist() for shard in range(shards)]
    assert [index for part in parts for index in part] == list(range(number))
    assert {len(part) for part in parts} <= {number // shards, -(-number // shards)}


def _conditions(folder, text):
    (folder / "conditions.csv").write_text(text)
    return folder / "conditions.csv"


def test_list_of_conditions(tmp_path):
    path = _conditions(
        tmp_path, "cell_type,perturbation,images\nU2OS,a,2\nHUVEC,control,1\nU2OS,NA,1\n"
    )
    plan = read_conditions(path, VOCABULARY)
    assert plan["sample_index"].tolist() == [0, 1, 2, 3]
    assert plan["perturbation"].tolist() == ["a", "a", "control", "NA"]
    assert plan["control"].tolist() == ["none", "none", "negative", "none"]
    assert plan["perturbation_kind"].tolist() == ["sirna", "sirna", "none", "sirna"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cell_type,perturbation\nU2OS,a\n", "lacks the columns images"),
        ("cell_type,perturbation,images\nU2OS,zz,1\n", "perturbation 'zz' is unknown"),
        ("cell_type,perturbation,images\nHeLa,a,1\n", "cell type 'HeLa' is unknown"),
        ("cell_type,perturbation,images\nU2OS,,1\n", "perturbation '' is unknown"),
        ("cell_type,perturbation,images\nU2OS,a,0\n", "positive integer"),
        ("cell_type,perturbation,images\nU2OS,a,1.5\n", "positive integer"),
        ("cell_type,perturbation,images\nU2OS,a,\n", "positive integer"),
        ("cell_type,perturbation,images\nU2OS,a,inf\n", "positive integer"),
        ("cell_type,perturbation,images\nU2OS,a,many\n", "positive integer"),
        ("", "is empty"),
        (
            "cell_type,perturbation,images,concentration\nU2OS,a,1,\nU2OS,a,1,10 uM\n",
            r"row 2: the concentration '10 uM' is not a number in micromolar",
        ),
        (
            'cell_type,perturbation,images,concentration\nU2OS,a,1,"1,5"\n',
            "the concentration '1,5' is not a number",
        ),
        (
            "cell_type,perturbation,images,concentration\nU2OS,a,1,1,5\n",
            "has 4 columns, but row 2 has 5",
        ),
        ("cell_type,perturbation,images,concentration\nU2OS,a,1,-1\n", "'-1' is not a number"),
        ("cell_type,perturbation,images,concentration\nU2OS,a,1,inf\n", "'inf' is not a number"),
        ("cell_type,perturbation,images,concentration\nU2OS,a,1,nan\n", "'nan' is not a number"),
        ("cell_type,perturbation,images,Concentration\nU2OS,a,1,10\n", "unknown column 'Conc"),
        ("cell_type,perturbation,images,dose_um\nU2OS,a,1,10\n", "unknown column 'dose_um'"),
    ],
)
def test_bad_lists_of_conditions(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_conditions(_conditions(tmp_path, text), VOCABULARY)


def test_missing_list_of_conditions(tmp_path):
    with pytest.raises(DataError, match=r"list of conditions .* does not exist"):
        read_conditions(tmp_path / "none.csv", VOCABULARY)


def test_what_is_ignored_is_said(tmp_path, capsys):
    text = "cell_type,perturbation,images,concentration,note\nU2OS,a,1,10,x\n"
    plan = read_conditions(_conditions(tmp_path, text), VOCABULARY)
    assert plan["concentration"].tolist() == [10]
    said = capsys.readouterr().out
    assert "the columns 'note' are ignored" in said
    assert "concentrations are ignored" in said


def test_batches_are_those_of_the_images_that_are_compared_with():
    fields = FIELDS.assign(batch=[f"b{i % 3}" for i in range(len(FIELDS))])
    held_out = fields[fields["batch"] != "b0"]
    settings = Sampling(per_condition=4)
    plan = sampling_plan(fields, settings, batches=("b0", "b1"), compared_with=held_out)
    # b2 was not trained on, and b0 is not compared with.
    assert set(plan["batch"]) == {"b1"}
    only = fields[fields["batch"] == "b2"]
    plan = sampling_plan(fields, settings, batches=("b0", "b1"), compared_with=only)
    assert plan["batch"].isna().all()
    assert set(sampling_plan(fields, settings, batches=("b0", "b1"))["batch"]) == {"b0", "b1"}
