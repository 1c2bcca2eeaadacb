import sys

import pytest

from morphpipe.core.errors import ConfigError
from morphpipe.training import launch
from morphpipe.training.launch import first_host, is_started, launch_command, rank

RUN = [sys.executable, "-m", "morphpipe.training.torchrun"]


def test_several_processes_on_this_node():
    command = launch_command(["train", "--log", "a"], 4, 1, {}, 8)
    assert command == [
        *(*RUN, "--nproc-per-node=4", "--standalone"),
        *("-m", "--", "morphpipe", "train", "--log", "a"),
    ]


def test_one_task_a_node_meets_at_the_first(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "node7")
    command = launch_command(["train"], 2, 3, {"SLURM_JOB_ID": "123456"}, 16)
    assert command[0] == "srun"
    at = command.index(sys.executable)
    assert {"--nodes=3", "--ntasks=3", "--ntasks-per-node=1", "--cpus-per-task=16"} <= set(
        command[:at]
    )
    assert "--kill-on-bad-exit=1" in command[:at]
    assert command[at : at + 3] == RUN
    assert {"--nnodes=3", "--nproc-per-node=2", "--rdzv-id=123456"} <= set(command[at:])
    assert "--rdzv-endpoint=node7:18456" in command
    assert command[-4:] == ["-m", "--", "morphpipe", "train"]


def test_two_jobs_on_a_host_meet_at_ports_of_their_own():
    ports = set()
    for job in ("7", "8"):
        command = launch_command([], 1, 2, {"SLURM_JOB_ID": job})
        ports |= {word for word in command if word.startswith("--rdzv-endpoint")}
    assert len(ports) == 2


def test_list_of_nodes_is_resolved_where_it_is_known(monkeypatch):
    def scontrol(command, **_):
        assert command == ["scontrol", "show", "hostnames", "n[3-4]"]
        return type("Done", (), {"stdout": "n3\nn4\n"})

    monkeypatch.setattr("subprocess.run", scontrol)
    assert first_host({"SLURM_JOB_NODELIST": "n[3-4]"}) == "n3"


def test_several_nodes_without_slurm_are_refused():
    with pytest.raises(ConfigError, match=r"training\.nodes is 2.*need a SLURM job"):
        launch_command([], 1, 2, {})


def test_processes_know_who_they_are(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.delenv("RANK", raising=False)
    assert (is_started(), rank()) == (False, 0)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("RANK", "5")
    assert (is_started(), rank()) == (True, 5)


def test_launching_takes_this_process_s_place(monkeypatch):
    called = []
    monkeypatch.setattr("os.execvp", lambda *words: called.append(words))
    monkeypatch.setattr("os.environ", {})
    launch.launch(["train"], 4, 1, 10)
    assert called == [(sys.executable, launch_command(["train"], 4, 1, {}, 10))]
    assert launch.os.environ == {
        "OMP_NUM_THREADS": "2",
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "3600",
    }


def test_missing_srun_is_said(monkeypatch):
    monkeypatch.setattr("os.environ", {"SLURM_JOB_ID": "7", "PATH": ""})
    with pytest.raises(ConfigError, match="srun is needed"):
        launch.launch([], 1, 2, None)
