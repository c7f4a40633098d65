"""Selection of the video track and the audio tracks."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
from av.container import InputContainer
from av.stream import Disposition

from avel_tf.video.audio_mix import has_sound
from avel_tf.video.audio_track import AudioTrack
from avel_tf.video.clip import SAMPLE_RATE
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.source import open_media
from avel_tf.video.track_times import start_of

_log = logging.getLogger(__name__)

# Seconds searched for a track that is not silent. The leader of a broadcast master (EBU R 49:
# clock, tone and black) lasts up to two minutes.
_LOOK_AHEAD_SECONDS = 300
# Tracks that accompany another one; they are used only if there is no other.
_SECONDARY = (
    Disposition.comment
    | Disposition.lyrics
    | Disposition.karaoke
    | Disposition.hearing_impaired
    | Disposition.visual_impaired
    | Disposition.clean_effects
)


@dataclass(frozen=True)
class AudioSelection:
    """Audio tracks to decode.

    Args:
        indices: Indices among all streams of the file; several are mixed. Empty without audio.
        remark: Reason if it is not the default track, else None.
    """

    indices: tuple[int, ...]
    remark: str | None = None


def select_video(container: InputContainer) -> av.VideoStream | None:
    """Selects the video track, or None.

    It is the one that FFmpeg selects, but never an attached image, and never a single image (cover
    art that is not marked as such) beside a track of several frames.
    """
    tracks = [
        each for each in container.streams.video if not each.disposition & Disposition.attached_pic
    ]
    moving = [each for each in tracks if each.frames != 1]
    tracks = moving or tracks
    best = container.streams.best("video")
    if best in tracks:
        return best
    tracks.sort(key=lambda track: not track.disposition & Disposition.default)
    return tracks[0] if tracks else None


def select_audio(
    container: InputContainer,
    path: str | bytes | os.PathLike,
    video: av.VideoStream,
    settings: DecodeSettings,
    *,
    look_ahead: bool,
) -> AudioSelection:
    """Selects the audio tracks to decode.

    - `media.audio_track`, if it is set.
    - All tracks, if all are mono and of one language: the channels of a master, to be mixed.
    - The default track, or, if that is silent, the first other one that is not. The file is opened
      once more to check: a few packets if the default track is not silent, else up to 300 s.

    Args:
        container: The file, opened.
        path: Its name.
        video: The selected video track.
        settings: The requested track, and limits.
        look_ahead: Whether the file can be opened once more; otherwise silence is not detected.

    Raises:
        MediaError: The file has no track of the number `media.audio_track`.
    """
    tracks = list(container.streams.audio)
    if not tracks:
        return AudioSelection(())
    if settings.audio_track:
        if settings.audio_track > len(tracks):
            count = "only one audio track" if len(tracks) == 1 else f"{len(tracks)} audio tracks"
            raise MediaError(
                path,
                f"it has {count}, but media.audio_track is {settings.audio_track}",
            )
        return AudioSelection((tracks[settings.audio_track - 1].index,))
    primary = [each for each in tracks if not each.disposition & _SECONDARY]
    if len(primary) > 1 and _are_channels(primary):
        return AudioSelection(tuple(each.index for each in primary))
    best = container.streams.best("audio", video)
    candidates = sorted(
        tracks, key=lambda track: (track != best, bool(track.disposition & _SECONDARY))
    )
    first = candidates[0]
    if len(candidates) == 1 or not look_ahead:
        return AudioSelection((first.index,))
    found = _first_not_silent(path, [each.index for each in candidates], settings)
    if found in (None, first.index):
        return AudioSelection((first.index,))
    number = [each.index for each in tracks].index(found) + 1
    passed = candidates[: [each.index for each in candidates].index(found)]
    numbers = " and ".join(str(tracks.index(each) + 1) for each in passed)
    return AudioSelection(
        (found,),
        f"audio track {number} of {len(tracks)} is used, because "
        f"{'track' if len(passed) == 1 else 'tracks'} {numbers} "
        f"{'is' if len(passed) == 1 else 'are'} silent or cannot be decoded",
    )


def _are_channels(tracks: Sequence[av.AudioStream]) -> bool:
    """Returns True if the tracks are mono channels of one recording."""
    if any(each.codec_context is None for each in tracks):
        return False
    forms = {(each.codec_context.channels, each.codec_context.sample_rate) for each in tracks}
    languages = {each.metadata.get("language", "und") for each in tracks}
    return len(forms) == 1 and forms.pop()[0] == 1 and len(languages - {"und"}) <= 1


def _first_not_silent(
    path: str | bytes | os.PathLike, indices: Sequence[int], settings: DecodeSettings
) -> int | None:
    """Returns the first of these tracks that is not silent within the searched seconds."""
    with open_media(path, settings) as container:
        streams = [cast(av.AudioStream, container.streams[index]) for index in indices]
        starts = [start_of(each) for each in streams]
        origin = min((each for each in starts if each is not None), default=Fraction(0))
        tracks = {each.index: AudioTrack(each, origin, settings) for each in streams}
        not_silent: set[int] = set()
        readable = [each for each in streams if not tracks[each.index].failure]
        for packet in _packets(container, readable):
            track = tracks[packet.stream.index]
            track.decode(packet)
            # First, because a damaged time stamp may be a million years ahead.
            if track.seconds > _LOOK_AHEAD_SECONDS:
                break
            if _any_not_silent(track):
                not_silent.add(packet.stream.index)
            if indices[0] in not_silent:
                break
        else:
            for index, track in tracks.items():
                track.decode(None)
                if _any_not_silent(track, to_the_end=True):
                    not_silent.add(index)
    return next((index for index in indices if index in not_silent), None)


def _packets(container: InputContainer, streams: Sequence) -> Iterator[av.Packet]:
    """Yields the packets of some tracks up to the first damage."""
    try:
        for packet in container.demux(*streams) if streams else ():
            if packet.size:
                yield packet
    except MemoryError:
        raise
    except (av.FFmpegError, OSError, IndexError) as error:
        _log.debug("looking ahead ended early: %s", error)


def _any_not_silent(track: AudioTrack, *, to_the_end: bool = False) -> bool:
    """Takes the available seconds; returns True if one of them is not silent."""
    while track.seconds >= track.taken_seconds + 1 or (
        to_the_end and track.seconds > track.taken_seconds
    ):
        if has_sound(track.take(SAMPLE_RATE)).any():
            return True
    return False
