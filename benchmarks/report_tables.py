"""How long a report's tables take for a screen of many perturbations, and how much memory.

    python benchmarks/report_tables.py [--perturbations 1138]

The metric table is made of random values: distances of four cell types and seven views beside floor
and copy control, as an evaluation on RxRx1 writes them.
"""

import argparse
import itertools
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from morphpipe.core.storage import write_parquet
from morphpipe.report.results import over_seeds, read_metrics
from morphpipe.report.tables import distance_table
from morphpipe.tables.metric_table import METRIC_SCHEMA

CELL_TYPES = ["HEPG2", "HUVEC", "RPE", "U2OS", "all"]
VIEWS = ["all", "DNA", "ER", "actin", "nucleoli_RNA", "mitochondria", "Golgi"]
DISTANCES = ["frechet_distance", "kernel_distance"]
COMPARISONS = ["real-real", "generated-real@floor-n", "copy-real", "generated-real"]


def metric_table(perturbations: int) -> pa.Table:
    """Random distances of every perturbation, cell type and view."""
    names = ["all", *(f"s{i:05d}" for i in range(perturbations))]
    kinds = [*itertools.product(DISTANCES, COMPARISONS)]
    kinds += [(f"relative_{metric}", "generated-real@floor-n") for metric in DISTANCES]
    places = itertools.product(CELL_TYPES, names, VIEWS, kinds)
    rows = [(*kind, cell, name, view) for cell, name, view, kind in places]
    names_of = ("metric", "comparison", "cell_type", "perturbation", "view")
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names_of)}
    number = len(rows)
    value = np.random.default_rng(0).gamma(2.0, size=number)
    known = columns | {
        "value": value, "ci_low": 0.9 * value, "ci_high": 1.1 * value,
        "n_left": [30] * number, "n_right": [30] * number,
        "extractor": ["openphenom"] * number, "settings": ["{}"] * number,
        "dataset": ["rxrx1"] * number, "experiment": ["random"] * number,
    }  # fmt: skip
    nothing = [None] * number
    return pa.table(
        [pa.array(known.get(field.name, nothing), field.type) for field in METRIC_SCHEMA],
        schema=METRIC_SCHEMA,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--perturbations", type=int, default=1138)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "distances.parquet"
        write_parquet(metric_table(arguments.perturbations), path)
        start = time.perf_counter()

        def said(what: str) -> None:
            nonlocal start
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            print(f"{what:28s} {time.perf_counter() - start:7.1f} s   {memory:5.2f} GB at most")
            start = time.perf_counter()

        frame = read_metrics([path])
        said(f"{len(frame):,} rows read")
        summary = over_seeds(frame)
        said("over seeds")
        for relative in (True, False):
            made = distance_table(summary, relative=relative, by_perturbation=True, mark=str)
            said(f"a table of {len(made.rows):,} rows")


if __name__ == "__main__":
    main()
