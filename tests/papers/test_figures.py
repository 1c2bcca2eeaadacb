"""Figures of images and of features, from files as the workflow makes them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from morphpipe.core.checksums import read_checked_json
from morphpipe.datasets.splits.table import write_split
from morphpipe.report.papers import image_figures
from morphpipe.report.papers.figures import make_figure
from morphpipe.report.papers.items import ITEMS
from morphpipe.report.papers.paper_figure import PaperFigure
from morphpipe.report.papers.point_figures import read_points
from morphpipe.tables.feature_table import Extraction, FeatureTable, write_features

NAMES = ("actin", "ER", "DNA")
PERTURBATIONS = ("1138", "1108", "1124", "1137")


@pytest.fixture
def images(tmp_path, make_fields, make_row, paper_facts, make_run):
    """A run with six real wells (half held out) and three generated images of four conditions."""

    made_of = {"plate": None, "well": None, "site": None, "batch": None}
    made_of |= {"training_seed": 0, "sampling_seed": 0}

    def rows(origin, number):
        return [
            make_row(
                f"{origin}{p}_{i}",
                perturbation=p,
                origin=origin,
                control="negative" if p == "1138" else "none",
                **({"well": f"{p}-{i}"} if origin == "real" else made_of | {"sample_index": i}),
            )
            for p in PERTURBATIONS
            for i in range(number)
        ]

    real, made = rows("real", 6), rows("generated", 3)
    make_fields(tmp_path / "real.zip", len(real), names=NAMES, rows=real)
    make_fields(tmp_path / "made.zip", len(made), names=NAMES, rows=made, seed=1)
    split = pd.DataFrame(
        [(r["field_id"], "test" if int(r["field_id"][-1]) < 3 else "train") for r in real],
        columns=["field_id", "split"],
    )
    write_split(split, tmp_path / "split.parquet")
    random = np.random.default_rng(0)
    for name, table in (("real", real), ("made", made)):
        (tmp_path / name).mkdir()
        for view in ("all", "DNA"):
            features = random.normal(size=(len(table), 5)).astype(np.float32)
            ids = tuple(r["field_id"] for r in table)
            write_features(
                FeatureTable(
                    ids, np.zeros(len(ids), np.int8), features,
                    Extraction("openphenom", "openphenom", "0", view, NAMES),
                ),
                tmp_path / name / f"{view}.parquet",
            )  # fmt: skip
    run = make_run({"model": paper_facts}, {}, names={"cell_types": {"HUVEC": "HUVEC"}})
    files = {
        "fields": str(tmp_path / "real.zip"),
        "split": str(tmp_path / "split.parquet"),
        "samples": [str(tmp_path / "made.zip")],
    }
    features = {"real": [str(tmp_path / "real")], "generated": [str(tmp_path / "made")]}
    run.files = {"full": {"images": files, "features": files | features}}
    return run


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("morphgen_figure1", "Red, green and blue are actin, ER, DNA"),
        ("morphgen_figure13", "Red, green and blue are actin, ER, DNA"),
        ("morphgen_figure8", "Features of openphenom on whole images"),
        ("morphgen_figure11", "Features of openphenom on the channel DNA"),
        ("morphgen_figure5", "Features of openphenom; circles real"),
    ],
)
def test_figures_are_drawn_with_what_is_to_be_known(images, tmp_path, name, note):
    paths = [tmp_path / "out" / f"figure.{kind}" for kind in ("png", "pdf")]
    make_figure(name, images, tmp_path / "out" / "item.json", *paths)
    content = read_checked_json(tmp_path / "out" / "item.json")
    assert content["reason"] == "", content["reason"]
    assert any(note in told for told in content["notes"]), content["notes"]
    assert all(path.stat().st_size > 1000 for path in paths)


def test_only_held_out_real_images_are_shown(images):
    keys, features, encoder = read_points(
        PaperFigure(ITEMS["morphgen_figure5"], images), ["HUVEC"], ["1138", "1137"]
    )
    assert keys.groupby("origin").size().to_dict() == {"generated": 6, "real": 6}
    assert (features.shape, encoder) == ((12, 5), "openphenom")
    facts = images.facts["full"]
    source = image_figures.image_source(images, replace(facts))
    assert len(source.real_images(("HUVEC", "1137"), 9)) == 3
    assert len(source.generated_images(("HUVEC", "1137"), 2)) == 2
