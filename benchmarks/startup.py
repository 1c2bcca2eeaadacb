"""How long commands and jobs take before they begin to work: their imports.

    python benchmarks/startup.py [--repeats 5] [--csv FILE]

`import morphpipe`, `morphpipe --help`, and the imports of each script of the workflow, those inside
its branches included; each in a fresh process. One run before the timed ones writes the bytecode.
Not in it: Snakemake's own start of a job, and what the library imports when a function is called.
"""

import argparse
import ast
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

SCRIPTS = Path(__file__).parents[1] / "workflow" / "scripts"
HEAVY = ("torch", "torch._dynamo", "torchvision", "diffusers", "matplotlib", "sklearn",
         "scipy.stats", "pandas")  # fmt: skip


def imports_of(script: Path) -> str:
    """Import lines of a script, wherever they stand."""
    nodes = ast.walk(ast.parse(script.read_text("utf-8")))
    lines = [ast.unparse(node) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(lines)


def measure(code: str, repeats: int) -> tuple[float, int, list[str]]:
    """Seconds of a fresh process (median), its modules, and which heavy ones are among them."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    report = "\nimport sys; print(len(sys.modules), *(m for m in HEAVY if m in sys.modules))"
    command = [sys.executable, "-c", f"HEAVY = {HEAVY}\n{code}{report}"]
    seconds, output = [], ""
    for _ in range(repeats + 1):
        start = time.perf_counter()
        output = subprocess.run(
            command, check=True, capture_output=True, text=True, env=environment
        ).stdout
        seconds.append(time.perf_counter() - start)
    number, *heavy = output.splitlines()[-1].split()
    return statistics.median(seconds[1:]), int(number), heavy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="timed processes of each")
    parser.add_argument("--csv", type=Path, help="write the table to this file as well")
    arguments = parser.parse_args()
    help_page = "import sys\nsys.argv[1:] = ['--help']\nfrom morphpipe.cli import app\n"
    cases = {
        "python": "",
        "import morphpipe": "import morphpipe",
        "morphpipe --help": f"{help_page}app(standalone_mode=False)",
    }
    cases |= {path.stem: imports_of(path) for path in sorted(SCRIPTS.glob("*.py"))}
    rows = []
    for name, code in cases.items():
        seconds, modules, heavy = measure(code, arguments.repeats)
        rows.append((name, round(seconds, 2), modules, " ".join(heavy)))
        print(f"{name:24s} {seconds:6.2f} s {modules:6d} modules  {' '.join(heavy)}", flush=True)
    if arguments.csv is not None:
        table = pd.DataFrame(rows, columns=["what", "seconds", "modules", "heavy"])
        table.to_csv(arguments.csv, index=False)


if __name__ == "__main__":
    main()
