"""Noise of a sample at every sampler step, as a function of the sample alone.

Philox (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") is a counter-based
generator: a key selects a stream, and any position is reached directly. The key depends on the
experiment and the two seeds; the sample's index and the step are in the upper half of the 256-bit
counter, so that every (sample, step) has its own block of 2^128 draws. Batch size, number of
devices and restarts have no effect.
"""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

NoiseSource = Callable[[int], Tensor]
"""Maps a step to the noise [N, ...] of a batch: 0 is the initial state, 1, 2, … the steps of a
stochastic sampler.
"""


class SampleNoise:
    """Standard normal noise, drawn per sample and step.

    Parameters
    ----------
    experiment
        Name of the experiment.
    training_seed, sampling_seed
        The two seeds of a set of generated images.
    """

    def __init__(self, experiment: str, training_seed: int, sampling_seed: int) -> None:
        # A non-numeric separator keeps different triples distinct.
        name = f"{training_seed}\n{sampling_seed}\n{experiment}".encode()
        self._key = int.from_bytes(hashlib.sha256(name).digest()[:16], "little")

    def draw(self, sample_indices: Sequence[int], step: int, shape: Sequence[int]) -> Tensor:
        """Draw the noise of samples at one step.

        Parameters
        ----------
        sample_indices
            Index of each sample within its set, 0 or more; N of them.
        step
            Step of the sampler; 0 is the initial state.
        shape
            Shape of one sample.

        Returns
        -------
        Tensor
            float32 [N, *shape], on the CPU.
        """
        noise = np.empty((len(sample_indices), *shape), np.float32)
        for row, index in zip(noise, sample_indices, strict=True):
            # Words of the counter from low to high; the lower two count draws.
            bits = np.random.Philox(key=self._key, counter=[0, 0, step, int(index)])
            np.random.Generator(bits).standard_normal(dtype=np.float32, out=row)
        return torch.from_numpy(noise)

    def source(
        self,
        sample_indices: Sequence[int],
        shape: Sequence[int],
        *,
        device: torch.device | str = "cpu",
    ) -> NoiseSource:
        """Return the noise of a batch as a function of the step."""
        return lambda step: self.draw(sample_indices, step, shape).to(device)
