import os
import signal
import time

import pytest

from morphpipe.training.termination import Termination, end, ending_when_asked


def _ask():
    os.kill(os.getpid(), signal.SIGTERM)


def test_under_slurm_it_waits_to_be_killed(monkeypatch):
    waited = []
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setattr(time, "sleep", waited.append)
    with pytest.raises(SystemExit) as caught:
        end()
    assert caught.value.code == 143
    assert waited == [3600]


def test_elsewhere_it_leaves_at_once(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("waited"))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught, ending_when_asked():
        _ask()
    assert caught.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_training_is_told_and_goes_on():
    before = signal.getsignal(signal.SIGTERM)
    termination = Termination()
    assert not termination.asked
    _ask()
    assert termination.asked
    termination.restore()
    assert signal.getsignal(signal.SIGTERM) is before
