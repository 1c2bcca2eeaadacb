"""A campaign of faults: kill the workflow, corrupt its files, and see what becomes of it.

    PYTHONPATH=tests python -m faults --folder /tmp/faults

runs the smallest workflow once undisturbed (some five minutes on one core). Then

- kills: the workflow is started in a fresh folder and killed (SIGKILL, all processes at once) at
  random moments, started again each time, and let run to its end after the last kill of a chain.
  All its results but wall-clock times have to be those of the undisturbed run, byte for byte or
  value for value.
- corruptions: in a copy of the finished folder one byte of a file is changed, the file's time
  being kept, and a job that reads the file is made to run again. Its outputs have to be those of
  the undisturbed run, or the job's log has to name the file. Since a job is a function of its
  inputs, the final tables follow from that.
- swaps: likewise, with a whole result (an archive, latents, a checkpoint, a network, features, a
  table) that takes the place of another: one of another run of the same names and other seeds, or
  another one of the same run. Every checksum in it is right.
- edits: likewise, with a table in which labels or sides were exchanged, a row was left out or a
  number changed.
  Where a job takes what was swapped or edited without an error and makes other outputs of it,
  `morphpipe verify` has to say so.

Every fault is a function of --seed and its number. What was tried is kept in faults.jsonl: the same
command goes on where it was stopped. The summary is printed and written to summary.md; the exit
status is 1 where a fault was silent or an error did not name the file.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock

import yaml
from tqdm import tqdm

from . import corruption, exchange, workflow
from .outcomes import (
    REPORTED,
    SILENT,
    SURVIVED,
    UNNAMED,
    Fault,
    differences,
    read_faults,
    summary,
    write_fault,
)


class Campaign:
    """One folder with the undisturbed run, the journal, and a working copy per fault.

    Parameters
    ----------
    folder
        Where everything is kept.
    settings
        The workflow's configuration.
    seed
        Of all faults.
    """

    def __init__(self, folder: Path, settings: dict, seed: int) -> None:
        self.folder = folder
        self.settings = settings
        self.seed = seed
        self.undisturbed = folder / "undisturbed"
        self.other = folder / "other"
        self.journal = folder / "faults.jsonl"
        self.faults = read_faults(self.journal)
        self._lock = Lock()

    def _fresh(self, name: str, settings: dict | None = None) -> Path:
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(settings or self.settings))
        return folder

    def run_undisturbed(self) -> float:
        """Run the workflow once, or take the run that is there; how long it took, in seconds."""
        return self._run_once(self.undisturbed, self.settings)

    def run_other(self) -> None:
        """Run it once more with other seeds, under the same names."""
        self._run_once(self.other, workflow.of_other_seeds(self.settings))

    def _run_once(self, folder: Path, settings: dict) -> float:
        took = folder / "seconds.txt"
        if not took.exists():
            started = time.monotonic()
            done = workflow.run(self._fresh(folder.name, settings))
            if done.returncode:
                sys.exit(f"The undisturbed run failed:\n{done.stderr[-3000:]}")
            took.write_text(str(time.monotonic() - started))
        return float(took.read_text())

    def note(self, fault: Fault) -> None:
        """Keep what became of a fault."""
        with self._lock:
            self.faults.append(fault)
            write_fault(fault, self.journal)

    def tried(self, kind: str) -> set[int]:
        """Numbers of the faults of a kind that are in the journal."""
        return {fault.number for fault in self.faults if fault.kind == kind}

    def kill_chain(self, numbers: range, pause: float, progress: Callable[[int], object]) -> None:
        """Kill one run again and again, then let it end; its kills share the outcome.

        Kills that the run was too short for begin another one.
        """
        folder = self._fresh(f"kills-{numbers.start}")
        struck: list[tuple[int, str, str]] = []
        for number in numbers:
            chance = random.Random(f"{self.seed} kill {number}")
            after = chance.uniform(3, 2 * pause)
            rule = workflow.run_and_kill(folder, after)
            if rule is None:
                break
            struck.append((number, rule, f"{after:.1f} s after a start, in {rule}"))
            progress(1)
        done = workflow.run(folder)
        if done.returncode:
            outcome, message = UNNAMED, done.stderr[-1500:]
        else:
            found = differences(self.undisturbed, folder, workflow.FINAL)
            outcome, message = (SILENT, ", ".join(found)) if found else (SURVIVED, "")
        for number, rule, detail in struck:
            self.note(Fault(number, "kill", rule, detail, outcome, message))
        rest = range(numbers.start + len(struck), numbers.stop)
        if struck and rest:
            self.kill_chain(rest, pause, progress)

    def corrupt(self, number: int, jobs: list[workflow.Job]) -> None:
        """Change one byte in a copy, and ask for a result that is made of it."""
        chance = random.Random(f"{self.seed} corruption {number}")
        chosen = corruption.draw(self.undisturbed, jobs, chance)
        detail = f"{chosen.file}, byte {chosen.at} xor {chosen.mask}, read by {chosen.job.rule}"
        fault = Fault(number, "corruption", chosen.kind, detail, "")
        self._try(fault, chosen.job, (chosen.file,), lambda f: corruption.strike(f, chosen))

    def swap(self, number: int, jobs: list[workflow.Job]) -> None:
        """Put another result in the place of one, in a copy, and ask for what is made of it."""
        chance = random.Random(f"{self.seed} swap {number}")
        other = self.other if self.other.exists() else None
        chosen = exchange.draw_swap(self.undisturbed, other, jobs, chance)
        fault = Fault(number, "swap", chosen.kind, chosen.detail, "")
        strike = partial(exchange.strike, exchange=chosen, chance=chance)
        self._try(fault, chosen.job, chosen.files, strike, verify=True)

    def edit(self, number: int, jobs: list[workflow.Job]) -> None:
        """Edit a table in a copy, and ask for what is made of it."""
        chance = random.Random(f"{self.seed} edit {number}")
        chosen = exchange.draw_edit(self.undisturbed, jobs, chance)
        fault = Fault(number, "edit", chosen.kind, chosen.detail, "")
        strike = partial(exchange.strike, exchange=chosen, chance=chance)
        self._try(fault, chosen.job, chosen.files, strike, verify=True)

    def _try(
        self,
        fault: Fault,
        job: workflow.Job,
        files: tuple[str, ...],
        strike: Callable[[Path], None],
        *,
        verify: bool = False,
    ) -> None:
        """Strike in a copy, run a job that reads the files, and note what became of it."""
        folder = self.folder / f"{fault.kind}-{fault.number}"
        workflow.duplicate(self.undisturbed, folder)
        strike(folder)
        log = folder / job.log
        log.unlink(missing_ok=True)
        done = workflow.run(folder, "--rerun-triggers", "mtime", "--force", "--", job.outputs[0])
        said = log.read_text("utf-8", errors="replace") if log.is_file() else ""
        if done.returncode:
            named = any(file in said for file in files)
            outcome = REPORTED if named else UNNAMED
            message = said.strip()[-600:] or done.stderr[-1500:]
        else:
            found = differences(self.undisturbed, folder, job.outputs)
            outcome, message = (SILENT, ", ".join(found)) if found else (SURVIVED, "")
        if outcome == SILENT and verify:
            wrong = workflow.verify(folder)
            if any(file in wrong for file in files):
                outcome, message = REPORTED, f"by morphpipe verify: {wrong.strip()[-600:]}"
        self.note(replace(fault, outcome=outcome, message=message))
        if outcome in (SURVIVED, REPORTED):
            workflow.remove(folder)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="PYTHONPATH=tests python -m faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--folder", type=Path, required=True, help="where to work; about 1 GB, kept at the end")
    add("--kills", type=int, default=20, help="how many kills (default: %(default)s)")
    add("--corruptions", type=int, default=60, help="how many changed bytes (%(default)s)")
    add("--swaps", type=int, default=40, help="how many exchanged results (%(default)s)")
    add("--same-run", action="store_true", help="exchange results of one run only: no other is run")
    add("--edits", type=int, default=20, help="how many edited tables (%(default)s)")
    add("--kills-a-run", type=int, default=10, help="kills of a chain (%(default)s)")
    add("--seed", type=int, default=6, help="another seed, other faults (%(default)s)")
    add("--workers", type=int, default=1, help="faults side by side, one core each (%(default)s)")
    add(
        "--configfile",
        type=Path,
        default=workflow.REPOSITORY / "tests/workflow/tiny.yaml",
        help="the workflow's configuration (default: tests/workflow/tiny.yaml)",
    )
    return parser.parse_args()


def main() -> int:
    """Run the campaign."""
    arguments = _arguments()
    folder = arguments.folder.resolve()
    campaign = Campaign(folder, workflow.configuration(arguments.configfile), arguments.seed)
    print("The undisturbed run comes first.", file=sys.stderr)
    duration = campaign.run_undisturbed()
    jobs = workflow.jobs(campaign.undisturbed)
    chains = [
        range(start, min(start + arguments.kills_a_run, arguments.kills))
        for start in range(0, arguments.kills, arguments.kills_a_run)
    ]
    tried = campaign.tried("kill")
    chains = [range(chain.start + len(tried & set(chain)), chain.stop) for chain in chains]
    if arguments.swaps and not arguments.same_run:
        print("Then one with other seeds.", file=sys.stderr)
        campaign.run_other()
    single = [
        (attempt, number)
        for kind, attempt, most in (
            ("corruption", campaign.corrupt, arguments.corruptions),
            ("swap", campaign.swap, arguments.swaps),
            ("edit", campaign.edit, arguments.edits),
        )
        for number in sorted(set(range(most)) - campaign.tried(kind))
    ]
    total = sum(map(len, chains)) + len(single)
    with (
        tqdm(total=total, desc="faults", unit="fault") as progress,
        ThreadPoolExecutor(arguments.workers) as pool,
    ):
        # On average the kills of a chain spread over the whole run.
        pause = duration / arguments.kills_a_run
        waiting = [
            pool.submit(campaign.kill_chain, chain, pause, progress.update)
            for chain in chains
            if chain
        ]
        for attempt, number in single:
            future = pool.submit(attempt, number, jobs)
            future.add_done_callback(lambda _: progress.update(1))
            waiting.append(future)
        for future in waiting:
            future.result()
    text = summary(sorted(campaign.faults, key=lambda f: (f.kind, f.number)), arguments.seed)
    (folder / "summary.md").write_text(text, "utf-8")
    print(text)
    return int(any(fault.outcome in (SILENT, UNNAMED) for fault in campaign.faults))


if __name__ == "__main__":
    sys.exit(main())
