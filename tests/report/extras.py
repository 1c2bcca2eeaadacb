"""What a larger run has beside distances, effects and probes: made up here, in the agreed forms."""

import itertools

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image

from morphpipe.core.checksums import write_checked_json
from morphpipe.core.storage import write_parquet
from morphpipe.tables.metric_table import metric_row, metric_table
from morphpipe.tables.schemas import PAIR_SCHEMA

CONTEXT = {"dataset": "screen", "experiment": "small", "generator": "SiT-S/2"}
BY_JUDGE = {**CONTEXT, "extractor": "judge", "view": "all"}
SEEDS = {"training_seed": 0, "sampling_seed": 0}


def _row(metric, value, comparison=None, settings=None, **columns):
    made = comparison is not None and comparison.startswith("generated")
    around = {"ci_low": 0.9 * value, "ci_high": 1.1 * value} if value is not None else {}
    return metric_row(
        **BY_JUDGE | {"cell_type": "all", "perturbation": "all"} | columns, metric=metric,
        comparison=comparison, n_left=120, n_right=30, value=value, settings=settings,
        **around, **(SEEDS if made else {}),
    )  # fmt: skip


def write_measures(folder):
    """Metric tables with parts of their own, by name."""
    places = [{"cell_type": name} for name in ("all", "epithelial", "fibroblast")]
    manifold = [
        _row(metric, value * (1 - 0.05 * i), comparison, **place)
        for i, place in enumerate(places)
        for metric in ("precision", "recall", "density", "coverage")
        for comparison, value in (
            ("real-real", 0.8), ("generated-real", 0.6), ("copy-real", 0.78),
            ("shuffled-real", 0.2),
        )
    ]  # fmt: skip
    expected = {"expected_share": 0.01, "threshold": 1.0, "flagged": True}
    memorisation = [
        _row("memorised_share", 0.02, "generated-training", expected),
        _row("memorised_share", 1.0, "copy-training", expected),
        _row("nearest_training_distance", 2.0, "generated-training"),
        _row("nearest_training_distance", 2.2, "real-training"),
        _row("nearest_training_distance", 0.0, "copy-training"),
    ]
    retrieval = [
        _row("mean_average_precision", value, comparison, task="perturbation")
        for comparison, value in (
            ("real-real", 0.9), ("generated-real", 0.7), ("shuffled-real", 0.2),
        )
    ]  # fmt: skip
    batches = [
        _row(
            "accuracy", value, settings={"chance": 0.2, "correction": correction},
            regime=regime, task="perturbation",
        )
        for correction, shift in (("none", 0.0), ("tvn", 0.1))
        for regime, value in (
            ("real-real@within-batches", 0.8),
            ("real-real@across-batches", 0.5 + shift),
            ("real+generated-real@across-batches", 0.55 + shift),
        )
    ]  # fmt: skip
    variance = [
        _row("feature_variance", 3.0, "real"),
        _row("feature_variance", None, "generated", {"reason": "too few images"}),
    ]
    cross = [
        _row("frechet_distance", 1.0 + i, "real-real", {"other": other}, perturbation=one)
        for i, (one, other) in enumerate(itertools.product(("control", "inert"), repeat=2))
    ]
    tables = {
        "manifold": manifold, "memorisation": memorisation, "retrieval": retrieval,
        "batches": batches, "variance": variance, "cross_perturbation": cross,
    }  # fmt: skip
    for name, rows in tables.items():
        write_parquet(metric_table(rows), folder / f"{name}.parquet")
    return tuple(folder / f"{name}.parquet" for name in tables)


def write_pairs(folder, generated, held_out, training):
    """The closest pairs of given fields, the later the further."""
    parts = []
    for comparison, ids in (("generated-training", generated), ("real-training", held_out)):
        frame = pd.DataFrame({"field_id": ids, "training_field_id": training[: len(ids)]})
        frame["rank"] = np.arange(1, len(frame) + 1)
        parts.append(
            frame.assign(
                experiment="small", extractor="judge", view="all", comparison=comparison,
                cell_type="epithelial", perturbation="control", training_cell_type="epithelial",
                training_perturbation="inert", distance=0.5 * frame["rank"],
                nearness=0.1 * frame["rank"], threshold=0.75, **SEEDS,
            )
        )  # fmt: skip
    pairs = pa.Table.from_pandas(pd.concat(parts), schema=PAIR_SCHEMA, preserve_index=False)
    write_parquet(pairs, folder / "memorisation_pairs.parquet")
    return folder / "memorisation_pairs.parquet"


def item_cell(row, column, system, produced=None, **more):
    """A cell of a paper's table as `item.json` holds it."""
    empty = dict.fromkeys(("ci_low", "ci_high", "n", "published", "published_ci", "difference"))
    return {"row": row, "column": column, "system": system, "produced": produced, **empty,
            "quoted": False, "reason": "", **more}  # fmt: skip


def write_items(folder, text="Fréchet distances"):
    """A table and a figure of one paper, and a table of the other that nothing was made of."""
    table = folder / "morphgen_table4"
    about = {"caption": "", "section": "4.1", "experiments": ["small"], "notes": [text]}
    cells = [
        item_cell("HUVEC", "FID", "MorphGen", 52.25, ci_low=50.0, ci_high=55.0, n=500,
                  published=50.2, published_ci=0.6, difference=2.05),
        item_cell("HUVEC", "FID", "floor", 31.0),
        item_cell("HUVEC", "FID", "CellFlux", published=61.0, quoted=True),
        item_cell("HUVEC", text, "MorphGen", reason="not measured"),
    ]  # fmt: skip
    content = {
        "name": "morphgen_table4", "paper": "morphgen", "kind": "table", "number": "4",
        "title": text, "comparable": "partly", "statement": ["Other data.", text], **about,
        "rows": ["HUVEC"], "columns": ["FID", text], "cells": cells,
        "checks": [{"what": text, "holds": True, "detail": "1 < 2"}],
    }  # fmt: skip
    write_checked_json(content, table / "item.json")
    figure = folder / "morphgen_figure3"
    figure.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    for name in ("figure.png", "figure.pdf"):
        Image.fromarray(pixels).save(figure / name)
    content |= {"name": "morphgen_figure3", "kind": "figure", "number": "3", "cells": [],
                "comparable": "no", "statement": "Other cells.", "checks": [],
                "files": ["figure.png", "figure.pdf"]}  # fmt: skip
    write_checked_json(content, figure / "item.json")
    other = folder / "morphodiff_figure2"
    other.mkdir()
    content |= {"name": "morphodiff_figure2", "paper": "morphodiff", "number": "2",
                "comparable": "published only", "reason": "the role is not filled"}  # fmt: skip
    write_checked_json(content, other / "item.json")
    return table, figure, other


def write_benchmarks(folder):
    """Measurements as Snakemake leaves them, and the logs of the same jobs and of one more."""
    head = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    lines = {
        "train/small_0_0": "90.5\t0:01:30\t2048.00\t1\t1\t1\t0\t0\t150\t120.25",
        "train/small_0_1": "30.5\t0:00:30\t1024.00\t1\t1\t1\t0\t0\t150\t39.75",
        # Too short for a sample of memory.
        "split/by-well": "0.4\t0:00:00\tNA\tNA\tNA\tNA\tNA\tNA\tNA\tNA",
        "report": "12.0\t0:00:12\t300\t1\t1\t1\t0\t0\t90\t11",
    }
    benchmarks, logs = folder / "benchmarks", folder / "logs"
    for job, line in lines.items():
        for path, text in (
            (benchmarks / f"{job}.tsv", head + line + "\n"), (logs / f"{job}.log", ""),
        ):  # fmt: skip
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    (logs / "sample").mkdir()
    (logs / "sample" / "small_0_0_0.log").touch()
    return benchmarks, logs
