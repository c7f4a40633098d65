"""Messages about tracks that begin late, end early, or contradict their header."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from avel_tf.video.clip import MediaInfo

# A track that ends this far from its declared end is worth a word: half a second, because that is
# what decides whether a second counts.
DISAGREEMENT = Fraction(1, 2)
# Less than that is still a problem when it costs a second. Headers count the last picture's stay
# in more than one way, so an end that is off by two pictures of a slow film (20/s) is no loss.
_ROUNDING = 0.1


@dataclass(frozen=True)
class TrackSpan:
    """Start and end of a track.

    Args:
        name: `video` or `audio`.
        start: Seconds of the clip at which its first frame or sample comes; None without any.
        end: Seconds at which its last one ends.
        declared: Seconds that the header gives the track; None when it does not say.
        declared_start: Seconds at which it begins by its header; 0 when that does not say.
        decode_delay: Seconds from when the first frame of a fragmented mp4 is decoded to when it is
            shown; 0 otherwise.
    """

    name: str
    start: Fraction | None
    end: Fraction
    declared: float | None
    declared_start: float = 0.0
    decode_delay: float = 0.0


def promised_end(span: TrackSpan, info: MediaInfo, origin: Fraction) -> float | None:
    """The earliest second at which a track may end by its own account; None without any.

    Matroska's `DURATION` tag is the time of the track's end where FFmpeg wrote it, and its length
    where mkvmerge did, so it promises no more than the earlier of the two. Fragmented mp4 declares
    the sum of decoding durations. With reordered frames at a variable rate, up to the delay of the
    first frame of that is not shown. No track promises more than the file has.

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
        # Only the length of the whole file is declared: whichever track is longer fills it.
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
        return  # the length of an mpg is a guess
    # A damaged time stamp can hold one picture for an hour.
    declared = max([info.duration, *(promise for _, _, promise in kept)])
    for span in spans:
        if span.end - declared > DISAGREEMENT:
            over = float(span.end) - declared
            yield f"the {span.name} ends {over:.1f} s after the declared end of the file"


def remarks(spans: list[TrackSpan], info: MediaInfo, end: Fraction | int) -> Iterator[str]:
    """Assumptions for parts where one track has no data, as parts of a sentence.

    Args:
        spans: The tracks that the file has.
        info: What the header declares.
        end: Where the longer track ends; the seconds that were asked for where those are fewer.
    """
    words = {
        "video": ("black was assumed before it", "its last frame was held after it"),
        "audio": ("silence was assumed before it", "silence was assumed after it"),
    }
    longest = max(span.end for span in spans)
    if end == longest and info.duration is not None and info.duration - end > DISAGREEMENT:
        # Another track, of subtitles perhaps, goes on.
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
