"""Shared memory between a decoding worker process and its parent, in slots of one block each."""

from __future__ import annotations

import fcntl
import mmap
import os

import numpy as np

from avel_tf.video.clip import SAMPLE_RATE

# While the parent copies one block, the worker fills the other.
SLOTS = 2


class BlockMemory:
    """Frames and waveforms of a few blocks, mapped into two processes.

    Args:
        shape: (T, F, H, W) of a whole block.
        descriptor: Descriptor of the memory, received from the parent; None creates the memory.
            It has no name, so nothing has to be cleaned up when either process is killed.
    """

    def __init__(self, shape: tuple[int, ...], descriptor: int | None = None) -> None:
        self.shape = shape
        block_seconds = shape[0]
        frame_bytes = int(np.prod((*self.shape, 3)))
        # The waveform comes first, so that its four-byte samples are aligned.
        slot_bytes = block_seconds * SAMPLE_RATE * 4 + frame_bytes
        slot_bytes += -slot_bytes % mmap.PAGESIZE
        if descriptor is None:
            descriptor = os.memfd_create("avel-blocks", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(descriptor, SLOTS * slot_bytes)
            # A worker that has been taken over must not shrink memory that the parent reads.
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        self.descriptor = descriptor
        self._memory = np.frombuffer(mmap.mmap(descriptor, SLOTS * slot_bytes), np.uint8)
        self._slot_bytes = slot_bytes

    def slot(self, number: int, seconds: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns views of the first seconds of a slot.

        Args:
            number: Index of the slot.
            seconds: T.

        Returns:
            frames uint8 `[T, F, H, W, 3]` and waveform float32 `[T * 16000]`.
        """
        block_seconds, rate, height, width = self.shape
        memory = self._memory[number * self._slot_bytes :]
        sound_bytes = block_seconds * SAMPLE_RATE * 4
        waveform = memory[:sound_bytes].view(np.float32)[: seconds * SAMPLE_RATE]  # [T * 16000]
        frame_bytes = seconds * rate * height * width * 3
        frames = memory[sound_bytes : sound_bytes + frame_bytes]
        return frames.reshape(seconds, rate, height, width, 3), waveform  # [T, F, H, W, 3]

    def close_descriptor(self) -> None:
        """Closes the descriptor, which only sending needs; the mapping stays."""
        os.close(self.descriptor)
        self.descriptor = -1
