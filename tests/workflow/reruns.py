"""Where a run would begin anew under other configurations: many dry runs in one process.

Reads from standard input the Snakefile, the working folder and a list of configurations, and writes
for each the rules of the jobs that wait for no other job.
"""

import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import yaml
from snakemake.api import SnakemakeApi
from snakemake.settings import types

REPOSITORY = Path(__file__).resolve().parents[2]
TRIGGERS = yaml.safe_load((REPOSITORY / "profiles/local/config.yaml").read_text())["rerun-triggers"]


def beginnings(snakefile: Path, folder: Path, configuration: dict[str, Any]) -> dict[str, int]:
    """Number of first jobs by rule."""
    file = folder / "changed.yaml"
    file.write_text(yaml.safe_dump(configuration))
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        SnakemakeApi(types.OutputSettings(quiet={types.Quietness.ALL})) as api,
    ):
        workflow = api.workflow(
            resource_settings=types.ResourceSettings(cores=1),
            config_settings=types.ConfigSettings(configfiles=[file]),
            storage_settings=types.StorageSettings(),
            workflow_settings=types.WorkflowSettings(),
            snakefile=snakefile,
            workdir=folder,
        )
        triggers = types.RerunTrigger.parse_choices_set(TRIGGERS)
        workflow.dag(dag_settings=types.DAGSettings(rerun_triggers=triggers)).execute_workflow(
            executor="dryrun", execution_settings=types.ExecutionSettings(lock=False)
        )
        dag = workflow._workflow.dag
        first = [job for job in dag._needrun if not set(dag.dependencies[job]) & dag._needrun]
        return {name: sum(job.rule.name == name for job in first) for name in map(_rule, first)}


def _rule(job: Any) -> str:
    return str(job.rule.name)


if __name__ == "__main__":
    given = json.load(sys.stdin)
    os.chdir(given["folder"])
    found = [
        beginnings(Path(given["snakefile"]), Path(given["folder"]), configuration)
        for configuration in given["configurations"]
    ]
    json.dump(found, sys.stdout)
