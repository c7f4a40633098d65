"""Typical decoding with PyAV and OpenCV: mp4 to frames and audio in order, without seeking.

As a script it runs the cases of decoding alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from measuring import Work
from worker import serve

SECONDS = 10  # the clips of AVE, and ours
SAMPLE_RATE = 16_000
SIZE = 224

# path, F, threads of the codec -> frames uint8 [T, F, H, W, 3], waveform float32 [T*16000]
Reader = Callable[[str, int, int], tuple[np.ndarray, np.ndarray]]


class _Sampler:
    """Samples the frame on screen at (k + 0.5) / F; only sampled frames are converted."""

    def __init__(self, rate: int, convert: Callable) -> None:
        self.pictures = np.empty((SECONDS * rate, SIZE, SIZE, 3), np.uint8)  # [T*F, H, W, 3]
        self._rate, self._convert = rate, convert
        self._taken, self._shown = 0, None

    def add(self, frame, time: float) -> None:
        while self._taken < len(self.pictures) and (self._taken + 0.5) / self._rate < time:
            self._take(frame if self._shown is None else self._shown)
        self._shown = frame

    def finish(self) -> np.ndarray:
        while self._taken < len(self.pictures):
            self._take(self._shown)
        return self.pictures.reshape(SECONDS, self._rate, SIZE, SIZE, 3)

    def _take(self, frame) -> None:
        self.pictures[self._taken] = self._convert(frame)
        self._taken += 1


def read_pyav(path: str, rate: int, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames and audio in one pass; FFmpeg scales and converts in one step."""
    reformatter = VideoReformatter()

    def convert(frame: av.VideoFrame) -> np.ndarray:
        # Area averaging, as in avel-tf; faster than PyAV's default.
        small = reformatter.reformat(frame, SIZE, SIZE, "rgb24", interpolation="AREA", threads=1)
        return small.to_ndarray()

    sampler = _Sampler(rate, convert)
    resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
    sound = []
    with av.open(path) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        video.thread_type, video.codec_context.thread_count = "AUTO", threads
        for packet in container.demux(video, audio):
            for frame in packet.decode():
                if packet.stream is video:
                    sampler.add(frame, frame.time)
                else:
                    sound += resampler.resample(frame)
        sound += resampler.resample(None)
    return sampler.finish(), _fit(sound)


def read_cv2(path: str, rate: int, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames by OpenCV; audio by PyAV in a second pass."""
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, threads])
    frame_rate = capture.get(cv2.CAP_PROP_FPS)

    def convert(frame: np.ndarray) -> np.ndarray:
        small = cv2.resize(frame, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        return cv2.cvtColor(small, cv2.COLOR_BGR2RGB)

    # retrieve() converts a whole frame to BGR, so only sampled frames are retrieved.
    wanted = np.round((np.arange(SECONDS * rate) + 0.5) / rate * frame_rate - 0.5).astype(int)
    pictures, number = [], -1
    for place in wanted:
        while number < place and capture.grab():
            number += 1
        found, frame = capture.retrieve()
        pictures.append(convert(frame) if found else pictures[-1])
    capture.release()
    resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
    with av.open(path) as container:
        sound = [
            part for frame in container.decode(audio=0) for part in resampler.resample(frame)
        ] + resampler.resample(None)
    return np.stack(pictures).reshape(SECONDS, rate, SIZE, SIZE, 3), _fit(sound)


def _fit(sound: Sequence[av.AudioFrame]) -> np.ndarray:
    waveform = np.zeros(SECONDS * SAMPLE_RATE, np.float32)
    joined = np.concatenate([frame.to_ndarray()[0] for frame in sound])[: len(waveform)]
    waveform[: len(joined)] = joined
    return waveform


READERS: dict[str, Reader] = {"pyav": read_pyav, "cv2": read_cv2}


def decode(
    paths: Sequence[str], rate: int, reader: str, readers: int, threads: int
) -> Callable[[], Work]:
    """Decoding alone, `readers` files at a time."""
    read = READERS[reader]

    def run() -> Work:
        with ThreadPoolExecutor(readers) as pool:
            # Frames are dropped at once, as in the pipeline after embedding.
            shapes = set(pool.map(lambda path: read(path, rate, threads)[0].shape, paths))
        assert shapes == {(SECONDS, rate, SIZE, SIZE, 3)}
        return Work(len(paths))

    read(paths[0], rate, threads)
    return run


if __name__ == "__main__":
    serve({"decode": decode})
