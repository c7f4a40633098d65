"""Defects and assumptions of a decoded file: gaps, early ends, damage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av

from avel_tf.video.audio_mix import AudioMix
from avel_tf.video.clip import MediaInfo
from avel_tf.video.decode_request import DecodeRequest
from avel_tf.video.frame_sampler import FrameSampler
from avel_tf.video.track_times import start_of, tick_of

# Most bytes between two packets: headers of a block or cluster, some dozen bytes, and a few hundred
# bytes of HDR10+ data.
_HEADER_BYTES = 1024


class FrameGaps:
    """Detection of gaps in the video track of a damaged Matroska file.

    FFmpeg skips damage in Matroska without an error, up to the next cluster. A pause alone is no
    sign of it: a screen recording may show one frame for minutes. Packets are stored in the order
    in which they are read, so a pause with bytes that belong to no packet is a gap.

    Args:
        video: The video track.
        frame_rate: Mean frames per second; None if unknown.
        shortest: Shortest gap in seconds, beyond the usual duration of a frame.

    Attributes:
        missing: Total length of the gaps in seconds.

    Example:
        >>> gaps = FrameGaps(video, 25.0, Fraction(1, 2))
        >>> for packet in container.demux():
        ...     gaps.add(packet)
    """

    def __init__(self, video: av.VideoStream, frame_rate: float | None, shortest: Fraction) -> None:
        self.missing = Fraction(0)
        self._video = video
        self._tick = tick_of(video)
        self._usual = 1 / Fraction(frame_rate) if frame_rate else Fraction(0)
        self._shortest = shortest
        self._latest: int | None = None  # time of the latest frame, in ticks
        self._begin: int | None = None  # position of the previous packet in the file
        self._end: int | None = None
        self._unread = 0  # most bytes between two packets since the latest frame
        # Transparency is stored beside the frame, in bytes that belong to no packet.
        self._unreliable = "alpha_mode" in video.metadata

    def add(self, packet: av.Packet) -> None:
        """Adds every packet of the file, also of other tracks, in file order."""
        position = packet.pos
        if position is None or position < 0:
            self._begin = self._end = None
        elif position == self._begin and self._end is not None:
            self._end += packet.size  # a block may contain several audio packets (lacing)
        else:
            if self._end is not None:
                self._unread = max(self._unread, position - self._end)
            self._begin, self._end = position, position + packet.size
        if packet.stream is not self._video or packet.pts is None or self._unreliable:
            return
        if self._latest is not None and self._unread > _HEADER_BYTES:
            pause = (packet.pts - self._latest) * self._tick - self._usual
            if pause > self._shortest:
                self.missing += pause
        self._latest = packet.pts if self._latest is None else max(self._latest, packet.pts)
        self._unread = 0


# Seconds by which the end of a track must differ from the declared one to be reported: half a
# second decides whether a segment counts.
DISAGREEMENT = Fraction(1, 2)
# A smaller difference is reported if it costs a segment. Headers count the duration of the last
# frame in several ways, so two frames at 20 per second are tolerated.
_ROUNDING = 0.1


@dataclass(frozen=True)
class TrackSpan:
    """Start and end of a track.

    Args:
        name: `video` or `audio`.
        start: Time of its first frame or sample in seconds; None without any.
        end: End of its last one in seconds.
        declared: Declared length in seconds; None if not declared.
        declared_start: Declared start in seconds; 0 if not declared.
        decode_delay: Seconds between decoding and display of the first frame of a fragmented mp4;
            0 otherwise.
    """

    name: str
    start: Fraction | None
    end: Fraction
    declared: float | None
    declared_start: float = 0.0
    decode_delay: float = 0.0


def promised_end(span: TrackSpan, info: MediaInfo, origin: Fraction) -> float | None:
    """Earliest end of a track, in seconds, that agrees with its header; None without any.

    Matroska's `DURATION` tag is the end of the track if FFmpeg wrote it and its length if mkvmerge
    did, so the earlier of the two is used. Fragmented mp4 declares the sum of decoding durations;
    with reordered frames at a variable rate, up to the delay of the first frame is not shown. The
    result is at most the declared length of the file.

    Reference:
        ISO/IEC 14496-12, 8.8.8 (track fragment run). FFmpeg's `libavformat/matroskaenc.c`
        (`mkv_write_trailer`). MKVToolNix's statistics tags.
    """
    if span.declared is None:
        return None
    ends = [span.declared + span.declared_start - span.decode_delay]
    if info.container == "matroska":
        ends.append(span.declared - float(origin))
    if info.duration is not None:
        ends.append(info.duration)
    return min(ends)


def disagreements(
    spans: list[TrackSpan], info: MediaInfo, origin: Fraction, stop_at: int | None
) -> Iterator[str]:
    """Differences between actual and declared ends, as parts of a sentence.

    Args:
        spans: The tracks; video comes first.
        info: What the header declares.
        origin: Time zero of the file, in seconds on its own clock.
        stop_at: Seconds after which reading stopped; None for none.
    """
    video = spans[0]
    longest = max(span.end for span in spans)
    promises = [(span.name, span.end, promised_end(span, info, origin)) for span in spans]
    if video.declared is None:
        # Only the length of the whole file is declared, which is that of the longer track.
        promises[0] = ("file", longest, info.duration)
    kept = [(name, end, promise) for name, end, promise in promises if promise is not None]
    for name, end, declared in kept:
        if stop_at is not None:
            declared = min(declared, stop_at)
        short = declared - end
        lost = int(declared + 0.5) > max(1, int(longest + Fraction(1, 2)))
        if short > DISAGREEMENT or (lost and short > _ROUNDING):
            yield f"the {name} ends at {float(end):.1f} s, but {declared:.1f} s were declared"
    if stop_at is not None or info.duration is None or info.container == "mpeg":
        return  # the length of an mpg is an estimate
    # A damaged time stamp can make one frame stay on screen for an hour.
    declared = max([info.duration, *(promise for _, _, promise in kept)])
    for span in spans:
        if span.end - declared > DISAGREEMENT:
            over = float(span.end) - declared
            yield f"the {span.name} ends {over:.1f} s after the declared end of the file"


def remarks(spans: list[TrackSpan], info: MediaInfo, end: Fraction | int) -> Iterator[str]:
    """Assumptions for parts where one track has no data, as parts of a sentence.

    Args:
        spans: The tracks of the file.
        info: What the header declares.
        end: End of the longer track, or the requested number of seconds if that is less.
    """
    words = {
        "video": ("black was assumed before it", "its last frame was held after it"),
        "audio": ("silence was assumed before it", "silence was assumed after it"),
    }
    longest = max(span.end for span in spans)
    if end == longest and info.duration is not None and info.duration - end > DISAGREEMENT:
        # Another track, such as subtitles, is longer.
        yield f"video and audio end at {float(end):.1f} s of {info.duration:.1f} s"
    for span in spans:
        before, after = words[span.name]
        if span.start is None:
            yield f"no {span.name} could be decoded: {before.removesuffix(' before it')}"
            continue
        if min(span.start, end) > DISAGREEMENT:
            yield f"the {span.name} begins at {float(span.start):.1f} s: {before}"
        if end - span.end > DISAGREEMENT and span.start < end:
            yield f"the {span.name} ends at {float(span.end):.1f} s: {after}"


class DecodeSummary:
    """Defects and assumptions of one file, counted while it is decoded.

    Args:
        request: The request that is decoded.
        origin: Time zero of the file, in seconds on its own clock.
        video: The video track.
        audio: The first audio track, if any.
        sampler: Frames that have been sampled.
        mix: Audio that has been decoded, if any.
        gaps: Gaps in the video track of a Matroska file.

    Attributes:
        damaged_frames: Number of damaged packets or frames.
        read_failure: Cause of the latest failed read.
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
        """Assumptions and choices as one sentence, after the whole file has been read."""
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
        # Only the header of a fragmented file does not declare the number of frames.
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
