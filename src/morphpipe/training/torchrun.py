"""torchrun that waits for its processes after a SIGTERM; called as a module."""

import os
import signal
import sys

from torch.distributed.run import main


def run(arguments: list[str]) -> None:
    """Start and watch the processes of this node.

    torchrun passes a SIGTERM on to its processes and waits for them, but at a second one it ends
    and leaves them alone. SLURM sends two where it preempts a job, each to every process of a job
    step: there torchrun need not pass on anything, and takes no notice. (Processes begin with
    SIGTERM ignored as well; training sets its own way with it.)
    """
    if "SLURM_JOB_ID" in os.environ:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        arguments = ["--signals-to-handle=SIGINT,SIGHUP,SIGQUIT", *arguments]
    main(arguments)


if __name__ == "__main__":
    run(sys.argv[1:])
