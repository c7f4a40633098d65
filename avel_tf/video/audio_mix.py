"""Mix of the channels of one or several audio tracks to one mono waveform."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np

from avel_tf.video.audio_track import AudioTrack
from avel_tf.video.clip import SAMPLE_RATE
from avel_tf.video.decode_settings import DecodeSettings

# Level in RMS below which a second is silent: -60 dB, the default of FFmpeg's silencedetect. The
# noise of a recorder without a microphone is lower.
_SILENT_RMS = 10 ** (-60 / 20)
# Channels cancel each other out if their mean keeps less than this share of the energy that
# unrelated channels would keep. For two channels of equal level, that is a correlation below -0.8.
# A phase meter warns below 0, and natural stereo is above that.
_CANCELLED = 0.2

# Seconds that a track may be behind another one; 300 s of audio take 19 MB.
_TRACK_BEHIND = 300


def has_sound(channels: np.ndarray) -> np.ndarray:
    """Find the seconds of each channel that are not silent.

    Args:
        channels: float32 `[C, T * 16000]`.

    Returns:
        bool `[C, T]`.
    """
    return _energies(channels) > _SILENT_RMS**2


def mix_seconds(channels: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mixes channels, one second at a time.

    If channels would cancel each other out (opposite phase), the loudest one is used instead. Each
    second is mixed without regard to its neighbours, so the result does not depend on the blocks.

    Args:
        channels: float32 `[C, T * 16000]`.
        weights: bool `[C, T]`, channels that are mixed; at least one in every second.

    Returns:
        float32 `[T * 16000]` in the range of the channels, and bool `[T]`, True where the
        channels cancel each other out.
    """
    count = weights.sum(axis=0)  # [T]
    seconds = channels.reshape(len(channels), -1, SAMPLE_RATE)  # [C, T, 16000]
    shares = (weights / count).astype(np.float32)  # [C, T]
    mixed = sum(second * share[:, None] for second, share in zip(seconds, shares, strict=True))
    energies = np.where(weights, _energies(channels), 0.0)  # [C, T]
    expected = energies.sum(axis=0) / count**2  # [T], of unrelated channels
    lost = (count > 1) & (_energies(mixed.reshape(1, -1))[0] < _CANCELLED * expected)  # [T]
    lost &= energies.max(axis=0) > _SILENT_RMS**2
    for second in np.flatnonzero(lost):
        mixed[second] = seconds[energies[:, second].argmax(), second]
    return mixed.reshape(-1), lost


def _energies(channels: np.ndarray) -> np.ndarray:
    """Mean square of every second: float32 `[C, T * 16000]` to `[C, T]`."""
    seconds = channels.reshape(len(channels), -1, SAMPLE_RATE)  # [C, T, 16000]
    return np.square(seconds).mean(axis=2)


class AudioMix:
    """Decoder of one or several audio tracks to one mono waveform.

    Several tracks are mixed to the mean of those that are not silent in a second.

    Args:
        streams: Audio tracks of an open file, at least one.
        numbers: Their numbers among the audio tracks of the file, counted from 1.
        origin: Time zero of the file, in seconds on its own clock.
        settings: Settings with the allowed codecs.
        remark: Reason for the choice of these tracks.
    """

    def __init__(
        self,
        streams: Sequence[av.AudioStream],
        numbers: Sequence[int],
        origin: Fraction,
        settings: DecodeSettings,
        remark: str | None = None,
    ) -> None:
        self._tracks = {each.index: AudioTrack(each, origin, settings) for each in streams}
        self._numbers = tuple(numbers)
        self._remark = remark
        self._sounding = np.zeros(len(numbers), bool)  # tracks that were not silent so far
        self._opposed = 0  # seconds in which channels cancel out

    @property
    def streams(self) -> list[int]:
        """Indices, among all streams, of the tracks that can be decoded."""
        return [index for index, track in self._tracks.items() if not track.failure]

    @property
    def seconds(self) -> Fraction:
        """End of the audio that all active tracks have reached."""
        over = self.end - _TRACK_BEHIND
        tracks = [track for track in self._tracks.values() if not track.failure]
        return min((t.seconds for t in tracks if t.seconds >= over), default=Fraction(0))

    @property
    def start(self) -> Fraction | None:
        """Start of the audio in seconds; None before any has been decoded."""
        starts = [track.start for track in self._tracks.values() if track.start is not None]
        return min(starts, default=None)

    @property
    def end(self) -> Fraction:
        """End of the audio of the longest track, in seconds."""
        return max(track.end for track in self._tracks.values())

    @property
    def failure(self) -> str | None:
        """Reason why no track can be decoded any more, or None."""
        failures = [track.failure for track in self._tracks.values()]
        return failures[0] if all(failures) else None

    @property
    def partial_failure(self) -> str | None:
        """Reason why some tracks, but not all, cannot be decoded any more, or None."""
        failed = [
            f"in track {number} {track.failure}"
            for number, track in zip(self._numbers, self._tracks.values(), strict=True)
            if track.failure
        ]
        return "; ".join(failed) if 0 < len(failed) < len(self._tracks) else None

    @property
    def damaged(self) -> int:
        """Packets that could not be decoded."""
        return sum(track.damaged for track in self._tracks.values())

    @property
    def missing(self) -> Fraction:
        """Total length of the gaps in seconds, in the track that has most."""
        return max(track.missing for track in self._tracks.values())

    @property
    def empty(self) -> bool:
        """True until the first audio has arrived."""
        return all(track.empty for track in self._tracks.values())

    @property
    def audio_track(self) -> tuple[int, ...]:
        """Numbers, counted from 1, of the tracks in the waveform so far."""
        if len(self._numbers) == 1 or not self._sounding.any():
            return self._numbers
        return tuple(n for n, used in zip(self._numbers, self._sounding, strict=True) if used)

    @property
    def remark(self) -> str | None:
        """Remark on how the waveform was mixed, or None."""
        found = [self._remark] if self._remark else []
        if len(self._numbers) > 1:
            numbers = " and ".join(map(str, self._numbers))
            text = f"the mono audio tracks {numbers} are mixed"
            if self._sounding.any() and not self._sounding.all():
                used = self.audio_track
                text += f"; only {' and '.join(map(str, used))} " + (
                    "is not silent" if len(used) == 1 else "are not silent"
                )
            found.append(text)
        if self._opposed:
            found.append(
                f"two audio channels are in opposite phase and cancel each other out in "
                f"{self._opposed} s; one of them is used there"
            )
        return "; ".join(found) or None

    def time_of(self, packet: av.Packet) -> Fraction:
        """Start of a packet with a time stamp, in seconds since time zero."""
        assert packet.pts is not None  # checked by the caller
        return self._tracks[packet.stream.index].time_of(packet.pts)

    def decode(self, packet: av.Packet | None) -> None:
        """Decodes the next packet; None flushes decoders and resamplers."""
        if packet is not None:
            self._tracks[packet.stream.index].decode(packet)
            return
        for track in self._tracks.values():
            track.decode(None)

    def take(self, count: int) -> np.ndarray:
        """Returns the next `count` samples, whole seconds; gaps are silence.

        Returns:
            float32 `[count]` in [-1, 1].
        """
        mono, opposed = [], np.zeros(count // SAMPLE_RATE, bool)  # [T]
        for track in self._tracks.values():
            channels = track.take(count)  # [C, count], C is 1 or 2
            everything = np.ones((len(channels), len(opposed)), bool)  # [C, T]
            if len(channels) > 1:
                waveform, lost = mix_seconds(channels, everything)
                opposed |= lost
            else:
                waveform = channels[0]
            mono.append(waveform)
        tracks = np.stack(mono)  # [tracks, count]
        if len(tracks) > 1:
            sounding = has_sound(tracks)  # [tracks, T]
            self._sounding |= sounding.any(axis=1)
            sounding[:, ~sounding.any(axis=0)] = True  # if all are silent, all are mixed
            waveform, lost = mix_seconds(tracks, sounding)
            opposed |= lost
        self._opposed += int(opposed.sum())
        return waveform
