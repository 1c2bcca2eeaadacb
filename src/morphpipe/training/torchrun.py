"""torchrun that waits for its processes after a SIGTERM; run as a module."""

import os
import signal
import sys

from torch.distributed.run import main


def run(arguments: list[str]) -> None:
    """Start and watch the processes of this node.

    torchrun forwards a SIGTERM to its processes and waits for them, but exits on a second one.
    SLURM sends two on preemption, each to every process of a job step, so torchrun ignores SIGTERM.
    (Processes inherit this; training sets its own handler.)
    """
    if "SLURM_JOB_ID" in os.environ:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        arguments = ["--signals-to-handle=SIGINT,SIGHUP,SIGQUIT", *arguments]
    main(arguments)


if __name__ == "__main__":
    run(sys.argv[1:])
