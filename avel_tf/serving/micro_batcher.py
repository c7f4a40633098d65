"""Micro-batches of prediction requests that arrive at about the same time."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from avel_tf.video.clip import SAMPLE_RATE

Arrays = tuple[np.ndarray, ...]
# Seconds of video in one micro-batch; more does not make a processor faster
# (docs/design/performance.md).
_MOST_SECONDS = 64


@dataclass(frozen=True, eq=False)
class Request:
    """A prediction request.

    Attributes:
        method: `embed`, `label` or `predict`; see `MicroBatcher`.
        arrays: Its inputs.
        answer: Called once, with the outputs or an exception.
    """

    method: str
    arrays: Arrays
    answer: Callable[[Arrays | Exception], None]

    @property
    def seconds(self) -> int:
        """Number of seconds of video in the request."""
        first = self.arrays[0]
        return len(first) if self.method == "embed" else first.shape[0] * first.shape[1]


class MicroBatcher:
    """Joins prediction requests into calls of one model.

    - `embed`: frames uint8 [N, F, H, W, 3] and waveform float32 [N, 16000] to visual [N, Dv] and
      audio [N, Da];
    - `label`: visual float32 [B, T, Dv], audio float32 [B, T, Da] and valid bool [B, T] to
      probabilities [B, T, C+1];
    - `predict`: frames uint8 [B, T, F, H, W, 3] and waveform float32 [B, T*16000] to probabilities
      [B, T, C+1].

    Args:
        embed: Embeds seconds; as of `InferencePipeline.embed_seconds`.
        label: Labels features; as of `InferencePipeline.label_features`.
        wait_seconds: Time that the first request waits for others.
    """

    def __init__(
        self, embed: Callable[..., Arrays], label: Callable[..., np.ndarray], wait_seconds: float
    ) -> None:
        self._embed = embed
        self._label = label
        self._wait = wait_seconds
        self._requests: queue.Queue[Request] = queue.Queue()

    def put(self, request: Request) -> None:
        """Add a request; from any thread."""
        self._requests.put(request)

    def run(self) -> None:
        """Answer requests for ever."""
        while True:
            self.run_batch(self._collect())

    def _collect(self) -> list[Request]:
        batch = [self._requests.get()]
        end = time.monotonic() + self._wait
        while sum(each.seconds for each in batch) < _MOST_SECONDS:
            try:
                batch.append(self._requests.get(timeout=max(0.0, end - time.monotonic())))
            except queue.Empty:
                break
        return batch

    def run_batch(self, batch: Sequence[Request]) -> None:
        """Answer requests together; if that fails, each alone, so that one cannot fail others."""
        try:
            outputs = self._outputs(batch)
        except Exception as error:
            if len(batch) == 1:
                batch[0].answer(error)
                return
            for request in batch:
                self.run_batch([request])
            return
        for request, output in zip(batch, outputs, strict=True):
            request.answer(output)

    def _outputs(self, batch: Sequence[Request]) -> list[Arrays]:
        outputs: list[Any] = [None] * len(batch)
        to_label: list[tuple[int, Arrays]] = []
        to_embed: list[tuple[int, Arrays]] = []
        for number, request in enumerate(batch):
            if request.method == "label":
                to_label.append((number, request.arrays))
            else:
                to_embed.append((number, _as_seconds(request)))
        if to_embed:
            lengths = [len(arrays[0]) for _, arrays in to_embed]
            columns = [np.concatenate(each) for each in zip(*(a for _, a in to_embed), strict=True)]
            visual, audio = self._embed(*columns)  # [N, Dv], [N, Da] of all requests
            cuts = np.cumsum(lengths)[:-1]
            parts = zip(to_embed, np.split(visual, cuts), np.split(audio, cuts), strict=True)
            for (number, _), seen, heard in parts:
                if batch[number].method == "embed":
                    outputs[number] = (seen, heard)
                else:
                    shape = batch[number].arrays[0].shape[:2]  # [B, T]
                    features = (seen.reshape(*shape, -1), heard.reshape(*shape, -1))
                    to_label.append((number, (*features, np.ones(shape, bool))))
        # Clips of one length share a call.
        for length in {arrays[0].shape[1] for _, arrays in to_label}:
            group = [each for each in to_label if each[1][0].shape[1] == length]
            columns = [np.concatenate(each) for each in zip(*(a for _, a in group), strict=True)]
            probabilities = self._label(*columns)  # [B, T, C+1] of all requests
            cuts = np.cumsum([len(arrays[0]) for _, arrays in group])[:-1]
            for (number, _), part in zip(group, np.split(probabilities, cuts), strict=True):
                outputs[number] = (part,)
        return outputs


def _as_seconds(request: Request) -> Arrays:
    """Frames [N, F, H, W, 3] and waveform [N, 16000] of an `embed` or `predict` request."""
    frames, waveform = request.arrays
    if request.method == "predict":
        frames = frames.reshape(-1, *frames.shape[2:])
    return frames, waveform.reshape(-1, SAMPLE_RATE)
