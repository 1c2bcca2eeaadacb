"""Memory that each measure takes, as a multiple of the features that it reads.

Gaussian features in memory, each measure in a process of its own. `evaluate` asks SLURM for memory
by these multiples (workflow/rules/evaluate.smk).

    python benchmarks/memory_of_measures.py --generated 40000 --real 8000 --width 2048
"""

import argparse
import json
import resource
import subprocess
import sys

import numpy as np
import pandas as pd

import morphpipe  # noqa: F401
from morphpipe.config.experiments import Evaluation
from morphpipe.evaluation.core.feature_set import KEY_COLUMNS, FeatureSet
from morphpipe.evaluation.registry import MODULES, load_measure


def images(origin: str, number: int, width: int, perturbations: int, seed: int) -> FeatureSet:
    """Images in equal numbers of each perturbation, the first of which is the control."""
    generator = np.random.default_rng(seed)
    of = np.arange(number) % perturbations
    real = origin == "real"
    keys = pd.DataFrame(index=range(number), columns=KEY_COLUMNS, dtype=object)
    keys["field_id"] = [f"{origin}-{seed}-{row}" for row in range(number)]
    keys["cell_type"], keys["origin"] = "U2OS", origin
    keys["perturbation"] = [f"p{p}" for p in of]
    keys["control"] = np.where(of == 0, "negative", "none")
    if real:
        keys["batch"] = [f"b{row // perturbations % 2}" for row in range(number)]
        keys["plate"] = "1"
        keys["well"] = [f"w{p}-{row // perturbations // 4}" for row, p in enumerate(of)]
    else:
        keys["training_seed"] = keys["sampling_seed"] = 0
    features = generator.standard_normal((number, width), dtype=np.float32)
    features += (of[:, None] == np.arange(width)).astype(np.float32)
    return FeatureSet(keys, features, "inception", "rgb")


def measure(name: str, arguments: argparse.Namespace) -> dict[str, object]:
    """Run one measure and return the memory before it, its peak and the size of the features."""
    sets = [
        images("generated", arguments.generated, arguments.width, arguments.perturbations, 0),
        images("real", arguments.real, arguments.width, arguments.perturbations, 1),
        images("real", arguments.real, arguments.width, arguments.perturbations, 2),
    ]
    chosen = load_measure(name)
    settings = chosen.settings(Evaluation(encoders=("inception",)))
    context = {"dataset": "d", "experiment": "e", "generator": "g"}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    chosen.function(*sets, context=context, **settings)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = sum(of.features.nbytes for of in sets)
    return {
        "measure": name,
        "features_gb": size / 1e9,
        "before_gb": before / 1e6,
        "peak_gb": peak / 1e6,
        "multiple": peak * 1e3 / size,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generated", type=int, default=40_000)
    parser.add_argument("--real", type=int, default=8_000)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--perturbations", type=int, default=20)
    parser.add_argument("--measures", nargs="*", default=[m for m in MODULES if m != "matched"])
    given = parser.parse_args()
    if len(given.measures) == 1:
        print(json.dumps(measure(given.measures[0], given)), flush=True)
    else:
        for one in given.measures:
            subprocess.run([sys.executable, *sys.argv, "--measures", one], check=False)
