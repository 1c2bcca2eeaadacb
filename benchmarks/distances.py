"""Fréchet and kernel distance side by side with torch-fidelity's, on the same features.

    python benchmarks/distances.py [--images 500] [--repeats 5]

The two are alternated in one run and the medians compared, so that a busy machine harms both.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from measuring import markdown_table

from morphpipe.evaluation.distances.frechet import frechet_distance
from morphpipe.evaluation.distances.kernel import kernel_distance

WIDTH = 2048


def features(number: int, seed: int) -> np.ndarray:
    """Features with a spectrum that falls like Inception's."""
    random = np.random.default_rng(seed)
    scales = 1 / np.sqrt(np.arange(1, WIDTH + 1))
    return (random.standard_normal((number, WIDTH)) * scales).astype(np.float32)


def fidelity_frechet(x: np.ndarray, y: np.ndarray) -> float:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    statistics_of = [fid_features_to_statistics(torch.from_numpy(part)) for part in (x, y)]
    return float(
        fid_statistics_to_metric(*statistics_of, verbose=False)["frechet_inception_distance"]
    )


def fidelity_kernel(x: np.ndarray, y: np.ndarray) -> float:
    from torch_fidelity.metric_kid import kid_features_to_metric

    found = kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), kid_subset_size=100, verbose=False
    )
    return float(found["kernel_inception_distance_mean"])


def compare(name: str, repeats: int, **functions: Callable[[], float]) -> list[list[str]]:
    """Rows of one distance: ours, then the other, each with its speed over the other's."""
    seconds: dict[str, list[float]] = {key: [] for key in functions}
    values = {}
    for _ in range(repeats):
        for key, function in functions.items():
            start = time.perf_counter()
            values[key] = function()
            seconds[key].append(time.perf_counter() - start)
    medians = {key: statistics.median(taken) for key, taken in seconds.items()}
    other = list(medians.values())[-1]
    return [
        [name, key, f"{median:.3f}", f"{values[key]:.6f}", f"{other / median:.2f}"]
        for key, median in medians.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    x, y = features(arguments.images, 0), features(arguments.images, 1) + 0.01
    rows = compare(
        "Fréchet",
        arguments.repeats,
        morphpipe=lambda: frechet_distance(x, y),
        torch_fidelity=lambda: fidelity_frechet(x, y),
    )
    rows += compare(
        "kernel",
        arguments.repeats,
        morphpipe=lambda: kernel_distance(x, y).mean,
        torch_fidelity=lambda: fidelity_kernel(x, y),
    )
    print(markdown_table(("distance", "by", "seconds", "value", "times as fast"), rows))


if __name__ == "__main__":
    main()
