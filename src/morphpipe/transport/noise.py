"""The noise of a sample, at every step of the sampler, as a function of the sample alone.

Philox (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") is a counter-based
generator: a key names a stream, and any place in the stream is reached at once. The key is made
of the experiment and the two seeds; the sample's index and the step are written into the upper
half of the 256-bit counter, so that every (sample, step) owns a block of 2^128 draws that no
other touches. Batch size, number of devices and restarts do not enter.
"""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

NoiseSource = Callable[[int], Tensor]
"""Gives the noise [N, ...] of a batch at a step: step 0 is the initial state, 1, 2, … what a
stochastic sampler adds on its way."""


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
        # A separator that cannot stand in a number keeps different triples apart.
        name = f"{training_seed}\n{sampling_seed}\n{experiment}".encode()
        self._key = int.from_bytes(hashlib.sha256(name).digest()[:16], "little")

    def draw(self, sample_indices: Sequence[int], step: int, shape: Sequence[int]) -> Tensor:
        """Noise of the given samples at one step.

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
            # Words of the counter from low to high; the low two count the draws.
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
        """Noise of one batch as the samplers ask for it: a function of the step."""
        return lambda step: self.draw(sample_indices, step, shape).to(device)
