"""Run the benchmarks one after the other and write benchmarks/RESULTS.md anew (make benchmark).

    python benchmarks/results.py [--quick] [--output benchmarks/RESULTS.md]

Every benchmark runs in a fresh process with all cores and a time limit of its own, all together at
most 20 minutes. The page says what machine it was, then shows the tables as the benchmarks print
them. Beneath stand the floors: speeds that were reached once, with what and on the machine that
their names tell of, and whether this one reaches them. `--quick` takes few repetitions, to see that
all parts run: its numbers are worth nothing. Nothing else should run on the machine meanwhile.
"""

import argparse
import csv
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import torch
import yaml
from measuring import markdown_table

from morphpipe.morphology.environment import record_of

BENCHMARKS = Path(__file__).resolve().parent
ROOT = BENCHMARKS.parent
ALL_SECONDS = 20 * 60 - 30  # less what starting and writing take
INSTRUCTION_SETS = (
    "avx2", "avx512f", "avx512_bf16", "avx512_fp16", "avx512_vnni", "amx_tile", "amx_bf16",
    "amx_int8",
)  # fmt: skip
DATA_LICENCES = (
    "AstraZeneca / Broad Bioimage Benchmark Collection terms",
    "CC BY-NC-SA 4.0",
    "CC0 1.0",
)

Row = dict[str, str]


class NotMeasuredError(Exception):
    """A part that gives no numbers, and why; `expected` where nothing went wrong."""

    def __init__(self, reason: str, *, expected: bool) -> None:
        super().__init__(f"Not measured: {reason}.")
        self.expected = expected


@dataclass(frozen=True)
class Floor:
    """A speed to reach: the least number in a column of the row with the given cells."""

    name: str
    least: float
    unit: str
    column: str
    cells: Row

    def row(self, rows: list[Row]) -> list[str]:
        """The floor's row, held against the rows of the part's tables."""
        found = [row for row in rows if self.column in row and self.cells.items() <= row.items()]
        here = float(found[0][self.column].replace(",", "")) if found else None
        reached = "not measured" if here is None else "yes" if here >= self.least else "no"
        return [self.name, f"{self.least:,g} {self.unit}", "" if here is None else f"{here:,g}",
                reached]  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A section of the page: what to run within how many seconds, and its floors."""

    title: str
    about: str
    run: Callable[[bool, float], str]
    limit: float
    floors: tuple[Floor, ...] = field(default=())


def output_of(command: list[str], limit: float, folder: Path = ROOT) -> str:
    """What a command prints, given so many seconds.

    Raises
    ------
    NotMeasuredError
        If it takes longer or fails.
    """
    if limit <= 0:
        raise NotMeasuredError("the benchmarks before it took all the time", expected=False)
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        printed, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        # With all that it has started.
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise NotMeasuredError(f"took longer than {limit:.0f} s", expected=False) from None
    if process.returncode:
        print(errors[-3000:] or printed[-3000:], file=sys.stderr)
        raise NotMeasuredError(f"ended with exit status {process.returncode}", expected=False)
    return printed.strip()


def script(name: str, *arguments: str, quick: tuple[str, ...] = ()) -> Callable[[bool, float], str]:
    """A benchmark of this folder with its arguments, and those that make it short."""
    path = str(BENCHMARKS / name)

    def run(short: bool, limit: float) -> str:
        return output_of([sys.executable, path, *arguments, *(quick if short else ())], limit)

    return run


def cellprofiler(short: bool, limit: float) -> str:
    lock = ROOT / "workflow" / "envs" / "cellprofiler.lock"
    if not record_of(lock, ROOT / "environments").is_file():
        raise NotMeasuredError("no CellProfiler environment", expected=True)
    return script("cellprofiler.py", "--fields", "6", quick=("--fields", "1", "--repeats", "1"))(
        short, limit
    )


def startup(_: bool, limit: float) -> str:
    if not (BENCHMARKS / "startup.py").is_file():
        raise NotMeasuredError("there is no benchmarks/startup.py", expected=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "startup.csv"
        script("startup.py", "--csv", str(path))(False, limit)
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
    return markdown_table(header, rows)


def dry_run(_: bool, limit: float) -> str:
    """Time the dry run of `all`, as if a person had accepted every licence: it fetches nothing."""
    content = yaml.safe_load((ROOT / "config" / "config.yaml").read_text("utf-8"))
    licences = {weights["licence"] for weights in content["weights"].values()}
    content["licences"] = {"accept": sorted(licences.union(DATA_LICENCES))}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Pipelines are named by their paths from the working directory.
        (folder / "workflow").symlink_to(ROOT / "workflow")
        (folder / "config.yaml").write_text(yaml.safe_dump(content), "utf-8")
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--configfile", "config.yaml", "--cores", "2", "-n", "--quiet", "rules", "all"]
        started = time.perf_counter()
        printed = output_of(command, limit, folder)
        seconds = time.perf_counter() - started
    totals = [line.split()[1] for line in printed.splitlines() if line.startswith("total ")]
    return markdown_table(
        ("configuration", "jobs", "seconds"),
        [["config/config.yaml", totals[0] if totals else "", f"{seconds:.1f}"]],
    )


TIMES, IMAGES, ROWS = "times as fast", "images a second", "rows a second"
DEMO_SAMPLER = "adams2, 8 steps"
PARTS = (
    Part(
        "Training steps",
        "A step beside the machine's own matrix products, and SiT beside the published step "
        "(benchmarks/training_steps.py).",
        script("training_steps.py", quick=("--repeats", "1")),
        600,
        (
            Floor("SiT-S/2 over the published step, batch 2, bf16", 2.0, "times", TIMES,
                  {"network": "SiT-S/2", "our precision": "bf16"}),
            Floor("SiT-S/2 over the published step, fp32 (of batch 4)", 0.97, "times", TIMES,
                  {"network": "SiT-S/2", "our precision": "fp32"}),
            Floor("fused AdamW over the loop, SiT-S/2", 5.2, "times", TIMES,
                  {"network": "SiT-S/2", "part": "AdamW"}),
            Floor("averaged weights over the loop, SiT-S/2", 1.8, "times", TIMES,
                  {"network": "SiT-S/2", "part": "average"}),
            Floor("SiT-Na/1, batch 8, bf16, two cores with AMX", 61, "GFLOP/s", "GFLOP/s",
                  {"network": "SiT-Na/1", "precision": "bf16"}),
            Floor("U-Net of 1.8 M parameters, batch 16, bf16, one core with AMX (ours: 4.0 M)",
                  124, IMAGES, IMAGES,
                  {"network": "FlowUNet-S", "precision": "bf16"}),
            Floor("matrix product, bf16, two cores with AMX", 490, "GFLOP/s",
                  "matrix product GFLOP/s", {"network": "SiT-S/2", "precision": "bf16"}),
            Floor("matrix product, fp32, two cores with AMX", 117, "GFLOP/s",
                  "matrix product GFLOP/s", {"network": "SiT-S/2", "precision": "fp32"}),
        ),
    ),
    Part(
        "Sampling",
        "The papers' sampler and the demo's, with random weights (benchmarks/sampling_speed.py; "
        "of equal quality: docs/sampling.md).",
        script("sampling_speed.py", quick=("--batch", "4", "--repeats", "1")),
        300,
        (
            Floor("50 steps of a SiT of 9.6 M parameters on 36 tokens, bf16, two cores with AMX "
                  "(SiT-Na/1: 2.8 M on 144)", 16.7, IMAGES, "images a second, latents",
                  {"network": "SiT-Na/1", "precision": "bf16", "evaluations": "50"}),
            Floor("SiT-Na/1, equal quality, decoded, over the papers' sampler", 3.0, "times",
                  TIMES,
                  {"network": "SiT-Na/1", "sampler": DEMO_SAMPLER}),
            Floor("FlowUNet-S, equal quality, decoded, over the papers' sampler", 3.0, "times",
                  TIMES,
                  {"network": "FlowUNet-S", "sampler": DEMO_SAMPLER}),
        ),
    ),
    Part(
        "Fréchet and kernel distance",
        "500 against 500 images of 2,048 features, beside torch-fidelity "
        "(benchmarks/distances.py).",
        script("distances.py", quick=("--repeats", "1")),
        180,
        (
            Floor("Fréchet distance over torch-fidelity", 41, "times", TIMES,
                  {"distance": "Fréchet", "by": "morphpipe"}),
            Floor("kernel distance over torch-fidelity, subsets of 100", 2.7, "times", TIMES,
                  {"distance": "kernel", "by": "morphpipe"}),
        ),
    ),
    Part(
        "Reading cached latents at random",
        "Latents of 24x64x64 in float16, 196 KB each; preadv is ours "
        "(benchmarks/array_shards.py).",
        script("array_shards.py", quick=("--images", "200", "--batches", "5", "--repeats", "1")),
        120,
        (
            Floor("warm, preadv", 31_000, ROWS, ROWS, {"way": "preadv", "pages": "warm"}),
            Floor("cold, preadv", 3_770, ROWS, ROWS, {"way": "preadv", "pages": "cold"}),
            Floor("written", 9_900, ROWS, ROWS, {"way": "written"}),
        ),
    ),
    Part(
        "CellProfiler",
        "Measured in process, one process and one thread (benchmarks/cellprofiler.py).",
        cellprofiler,
        240,
        (
            Floor("in process, simulated fields of 512x512, with AVX-512", 281, "fields an hour",
                  "fields per CPU hour", {"way": "in process"}),
        ),
    ),
    Part("Start", "How long commands take to start (benchmarks/startup.py).", startup, 300),
    Part("Dry run", "`snakemake -n` of all that both papers' reproduction takes.", dry_run, 120),
)  # fmt: skip


def rows_of(text: str) -> list[Row]:
    """Rows of all markdown tables of a text, by the names of their columns."""
    rows: list[Row] = []
    header: list[str] | None = None
    for line in text.splitlines():
        if not line.startswith("|"):
            header = None
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if header is None:
            header = cells
        elif not cells[0].startswith("--"):
            rows.append(dict(zip(header, cells, strict=True)))
    return rows


def machine() -> str:
    """Markdown table of what all was measured on."""
    cpu: dict[str, str] = {}
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        cpu = {key.strip(): value.strip() for key, _, value in (s.partition(":") for s in lines)}
    sets = [name for name in INSTRUCTION_SETS if name in cpu.get("flags", "").split()]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!*/RESULTS.md"],
        capture_output=True,
        text=True,
    )
    return markdown_table(
        ("machine", ""),
        [
            ["processor", cpu.get("model name") or platform.processor() or platform.machine()],
            [
                "cores",
                f"{len(os.sched_getaffinity(0))}; threads of torch: {torch.get_num_threads()}",
            ],
            ["instruction sets", ", ".join(sets) or "unknown"],
            ["GPU", gpu],
            ["torch", torch.__version__],
            ["date", date.today().isoformat()],
            [
                "commit",
                (commit.stdout.strip() or "unknown") + " with changes" * bool(changed.stdout),
            ],
        ],
    )


def section(part: Part, text: str) -> str:
    lines = [f"## {part.title}", part.about, text]
    if part.floors:
        rows = rows_of(text)
        table = [floor.row(rows) for floor in part.floors]
        lines.append(markdown_table(("floor", "at least", "here", "reached"), table))
    else:
        lines.append("No floor is set.")
    return "\n\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few repetitions, worthless numbers")
    parser.add_argument("--output", type=Path, default=BENCHMARKS / "RESULTS.md")
    arguments = parser.parse_args()
    end = time.perf_counter() + ALL_SECONDS
    head = "Written by `make benchmark`; each table is explained in the benchmark that it names."
    if arguments.quick:
        head += " **Made with --quick: few repetitions, not to be used.**"
    sections = ["# Speed", head, machine()]
    failed = False
    for part in PARTS:
        print(f"{part.title} ...", file=sys.stderr, flush=True)
        started = time.perf_counter()
        try:
            text = part.run(arguments.quick, min(part.limit, end - started))
        except NotMeasuredError as reason:
            text, failed = str(reason), failed or not reason.expected
        taken = time.perf_counter() - started
        sections.append(section(part, text))
        arguments.output.write_text("\n\n".join(sections) + "\n", "utf-8")
        said = text if text.startswith("Not measured") else "done"
        print(f"{part.title}: {said} ({taken:.0f} s)", file=sys.stderr, flush=True)
    print(f"The results: {arguments.output}", file=sys.stderr)
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
