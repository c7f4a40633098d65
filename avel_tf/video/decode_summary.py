"""Summary of a decoded file: what was damaged or missing, and what was assumed."""

from __future__ import annotations

from fractions import Fraction

import av

from avel_tf.video.audio_mix import AudioMix
from avel_tf.video.clip import MediaInfo
from avel_tf.video.decode_request import DecodeRequest
from avel_tf.video.frame_gaps import FrameGaps
from avel_tf.video.frame_sampler import FrameSampler
from avel_tf.video.track_ends import TrackSpan, disagreements, remarks
from avel_tf.video.track_times import start_of


class DecodeSummary:
    """Counts defects while a file is decoded, and describes them at its end.

    Args:
        request: The request that is decoded.
        origin: Time zero of the file, in seconds on its own clock.
        video: The video track.
        audio: The first audio track, if any.
        sampler: Frames that have been sampled.
        mix: Audio that has been decoded, if any.
        gaps: Gaps in the video track of a Matroska file.

    Attributes:
        damaged_frames: Number of packets or frames that were damaged.
        read_failure: Why the latest failed read failed.
        silent: True if a live stream sent nothing for `max_stall_seconds`.
        audio_left_out: Time in seconds of the first audio that was left out.
        decode_delay: Seconds from when the first frame is decoded to when it is shown.
    """

    def __init__(
        self,
        request: DecodeRequest,
        origin: Fraction,
        video: av.VideoStream,
        audio: av.AudioStream | None,
        sampler: FrameSampler,
        mix: AudioMix | None,
        gaps: FrameGaps | None,
    ) -> None:
        self._request, self._origin = request, origin
        self._video, self._audio = video, audio
        self._sampler, self._mix, self._gaps = sampler, mix, gaps
        self.damaged_frames = 0
        self.read_failure: str | None = None
        self.silent = False
        self.audio_left_out: float | None = None
        self.decode_delay: float | None = None

    @property
    def end(self) -> Fraction:
        """End of the longer track in seconds, as far as it has been decoded."""
        return max(self._sampler.end, self._mix.end if self._mix is not None else Fraction(0))

    def no_frame(self) -> str:
        """Cause of the failure if no frame could be decoded."""
        if self.damaged_frames:
            return f"none of its frames can be decoded ({self.damaged_frames} packets tried)"
        if self.read_failure:
            return f"it has a header but no frame can be read ({self.read_failure})"
        return "it declares a video track but holds no frame"

    def problem(self, info: MediaInfo) -> str | None:
        """Damage and missing parts as one sentence, after the whole file has been read."""
        found = []
        if self.damaged_frames:
            found.append(f"{_count(self.damaged_frames, 'damaged frame')} skipped or patched")
        if self._gaps is not None and self._gaps.missing:
            found.append(f"{float(self._gaps.missing):.1f} s of video are missing in the middle")
        if self._mix is not None and self._mix.damaged:
            found.append(f"{_count(self._mix.damaged, 'damaged audio packet')} skipped")
        if self._mix is not None and self._mix.missing:
            found.append(f"{float(self._mix.missing):.1f} s of audio are missing in the middle")
        if self.silent:
            silence = self._request.settings.max_stall_seconds
            found.append(f"no data came for {silence:g} s, which counts as the end of the stream")
        if not self._request.live:
            because = f" ({self.read_failure})" if self.read_failure else ""
            ends = disagreements(self._spans(info), info, self._origin, self._request.seconds)
            found += [end + because for end in ends]
        if self._mix is not None and self._mix.failure:
            found.append(self._mix.failure)
        if self._mix is not None and self._mix.partial_failure:
            found.append(self._mix.partial_failure)
        for what, other, time in (
            ("audio", "video", self.audio_left_out),
            ("video", "audio", self._sampler.late),
        ):
            if time is not None:
                found.append(
                    f"{what} from {float(time):.1f} s on was left out, because it is stored too "
                    f"far from its {other} in the file"
                )
        if not found:
            return None
        sentence = "; ".join(found) + "."
        return sentence[0].upper() + sentence[1:]

    def remark(self, info: MediaInfo) -> str | None:
        """Assumptions and choices that are no damage, after the whole file has been read."""
        end: Fraction | int = self.end
        if self._request.seconds is not None and self._request.seconds < end:
            end = self._request.seconds
        mix, spans, found = self._mix, self._spans(info), []
        if mix is None or mix.failure:
            spans = spans[:1]
        elif mix.remark:
            found.append(mix.remark)
        return "; ".join([*found, *remarks(spans, info, end)]) or None

    def _spans(self, info: MediaInfo) -> list[TrackSpan]:
        """Decoded and declared start and end of each track."""
        sampler, mix = self._sampler, self._mix
        video_starts = self._declared_start(self._video)
        # Only a fragmented file does not say in its header how many frames there are.
        fragmented = info.container == "mov" and not self._video.frames
        delay = max(0.0, self.decode_delay or 0.0) if fragmented else 0.0
        spans = [
            TrackSpan("video", sampler.start, sampler.end, info.video_duration, video_starts, delay)
        ]
        if self._audio is not None and mix is not None:
            # Audio that was left out is reported as such, not as an early end.
            declared = info.audio_duration if self.audio_left_out is None else None
            starts = self._declared_start(self._audio)
            spans.append(TrackSpan("audio", mix.start, mix.end, declared, starts))
        return spans

    def _declared_start(self, stream: av.VideoStream | av.AudioStream) -> float:
        """Start of a track as its header declares it, on the clip's clock."""
        start = start_of(stream)
        return float(start - self._origin) if start is not None else 0.0


def _count(number: int, thing: str) -> str:
    return f"{number} {thing} was" if number == 1 else f"{number} {thing}s were"
