"""Memory that a decoding child and its parent share, in slots of one block each."""

from __future__ import annotations

import fcntl
import mmap
import os

import numpy as np

from avel_tf.video.clip import SAMPLE_RATE

# While the parent takes one block, the child fills the other.
SLOTS = 2


class BlockMemory:
    """Room for the pictures and the sound of a few blocks, mapped into two processes.

    Args:
        block_seconds: T of a whole block.
        frames_per_second: F.
        size: (H, W).
        descriptor: The memory, as it came from the parent; None makes it. It has no name, so
            there is nothing to clean up, whichever of the two is killed.
    """

    def __init__(
        self,
        block_seconds: int,
        frames_per_second: int,
        size: tuple[int, int],
        descriptor: int | None = None,
    ) -> None:
        self.shape = (block_seconds, frames_per_second, *size)
        frame_bytes = int(np.prod((*self.shape, 3)))
        # The sound goes first, so that its four-byte samples are aligned.
        slot_bytes = block_seconds * SAMPLE_RATE * 4 + frame_bytes
        slot_bytes += -slot_bytes % mmap.PAGESIZE
        if descriptor is None:
            descriptor = os.memfd_create("avel-blocks", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(descriptor, SLOTS * slot_bytes)
            # A child that has been taken over must not pull the memory away from under the parent.
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        self.descriptor = descriptor
        self._memory = np.frombuffer(mmap.mmap(descriptor, SLOTS * slot_bytes), np.uint8)
        self._slot_bytes = slot_bytes

    def slot(self, number: int, seconds: int) -> tuple[np.ndarray, np.ndarray]:
        """The first seconds of a slot, as views.

        Args:
            number: Which slot.
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
        """Lets go of the descriptor once nobody has to be sent it; the mapping needs none."""
        os.close(self.descriptor)
        self.descriptor = -1
