"""Reading cached latents at random: our array shards beside the same file mapped into memory.

    python benchmarks/array_shards.py [--images 2000] [--batch 32] [--repeats 5] [--folder DIR]

Rows are latents of RxRx1 (24x64x64 in float16, 196 KB). "Cold" reads come after the pages of the
file were given back to the system (posix_fadvise), so that they come from the disk as far as the
disk itself does not cache; the two ways are alternated and medians compared.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measuring import markdown_table

from morphpipe.tables.array_shards import ArrayShards, write_shard

SHAPE = (24, 64, 64)


def forget(path: Path) -> None:
    """Give a file's pages back."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def rows_per_second(read: Callable[[np.ndarray], np.ndarray], batches: list[np.ndarray]) -> float:
    started = time.perf_counter()
    for rows in batches:
        read(rows)
    return sum(map(len, batches)) / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000, help="rows in the shard")
    parser.add_argument("--batch", type=int, default=32, help="rows read at once")
    parser.add_argument("--batches", type=int, default=50, help="batches a measurement")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each way")
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary folder")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "shard"
        block = random.standard_normal((100, *SHAPE)).astype(np.float16)
        keys = [(f"f{i}", 0) for i in range(options.images)]
        started = time.perf_counter()
        blocks = (block[: min(100, options.images - i)] for i in range(0, options.images, 100))
        write_shard(path, keys, blocks, shape=SHAPE, dtype=np.float16)
        written = options.images / (time.perf_counter() - started)
        file = path.with_suffix(".npy")
        found: dict[tuple[str, str], list[float]] = {}
        for _ in range(options.repeats):
            for way in ("preadv", "mapped"):
                for state in ("cold", "warm"):
                    shards = ArrayShards([path.with_suffix(".parquet")], verify=False)
                    mapped = np.load(file, mmap_mode="r")
                    read = shards.read if way == "preadv" else mapped.__getitem__
                    batches = [
                        random.integers(options.images, size=options.batch)
                        for _ in range(options.batches)
                    ]
                    if state == "cold":
                        forget(file)
                    else:
                        for rows in batches:
                            read(rows)
                    found.setdefault((way, state), []).append(rows_per_second(read, batches))
                    shards.close()
                    del mapped
    rows = [["written", "", f"{written:,.0f}"]]
    rows += [[*key, f"{statistics.median(speeds):,.0f}"] for key, speeds in found.items()]
    print(markdown_table(("way", "pages", "rows a second"), rows))


if __name__ == "__main__":
    main()
