"""One pass over the packets of a file, from which blocks of seconds come."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.container import InputContainer

from avel_tf.video.audio_mix import AudioMix
from avel_tf.video.clip import SAMPLE_RATE, Clip
from avel_tf.video.coded_frame import role_reader
from avel_tf.video.decode_request import DecodeRequest
from avel_tf.video.errors import MediaError
from avel_tf.video.frame_decoder import FrameDecoder
from avel_tf.video.frame_gaps import FrameGaps
from avel_tf.video.frame_sampler import FrameSampler
from avel_tf.video.frame_skipper import FrameSkipper
from avel_tf.video.probe import (
    check_limits,
    choose_video_stream,
    describe,
    rotation_of,
    set_up_decoder,
)
from avel_tf.video.sample_times import SampleTimes
from avel_tf.video.source import over_limit, reason
from avel_tf.video.track_ends import DISAGREEMENT, TrackSpan, disagreements, remarks
from avel_tf.video.track_selection import select_audio
from avel_tf.video.track_times import first_packets, origin_of, start_of, tick_of

_log = logging.getLogger(__name__)
_HALF = Fraction(1, 2)
# Sound that lies further than this behind its picture in the file is left out, and where sound has
# come for so long without a picture the latest one is taken to stay on screen, so that memory stays
# bounded. Muxers keep the two within seconds of each other, and in mp4 FFmpeg brings them together
# itself; 60 s of waiting hold 60 F small pictures, 300 s of sound 19 MB a channel.
_SOUND_BEHIND = 60
_PICTURE_BEHIND = 300
# A stream cannot wait for so long; FFmpeg's muxers wait 10 s for a packet of each track
# (`max_interleave_delta`).
_LIVE_PICTURE_BEHIND = 15
# After this many failed reads in a row the rest of the file is given up.
_READ_FAILURES = 16
# So much of a film may hold more pictures per second than the limit on average: recorders that
# write a picture when something changes begin with a burst.
_BURST_SECONDS = 1.0


class StreamDecoder:
    """One pass over the packets of an open file, picture and sound together.

    Args:
        container: The file, opened.
        request: The form of the clips, and the limits. With `live`, the length that a header
            declares is not compared with what was decoded.

    Raises:
        MediaError: There is no video track, or the header declares more than the limits.
    """

    def __init__(self, container: InputContainer, request: DecodeRequest) -> None:
        path, settings = request.shown_path, request.settings
        frames_per_second = request.frames_per_second
        self._request, self._path, self._settings = request, path, settings
        self._container = container
        self._video = choose_video_stream(container, path, settings)
        choice = select_audio(container, path, self._video, settings, look_ahead=not request.live)
        audios = [cast(av.AudioStream, container.streams[index]) for index in choice.indices]
        audio = audios[0] if audios else None
        self._peeked = first_packets(container, self._video)
        self._origin = origin_of(self._video, audios, self._peeked)
        self._info = describe(container, path, self._video, audio, self._origin, self._peeked)
        check_limits(self._info, self._video, settings)
        set_up_decoder(self._video, settings)
        self._decoder = FrameDecoder(self._video)
        self._tick = tick_of(self._video)
        instants = SampleTimes(self._origin, self._tick, frames_per_second)
        # In mp4 a picture is said to last until the next one is decoded, not until it is shown.
        reordered = bool(self._video.codec_context.has_b_frames)
        trust_durations = not (reordered and self._info.container == "mov")
        self._pictures = FrameSampler(
            self._origin, self._tick, self._info.frame_rate, instants, request.size, trust_durations
        )
        self._stay: int | None = None  # ticks that the latest picture packet lasts
        picture, rate = self._video.codec_context, self._info.frame_rate
        fast = rate is None or rate > frames_per_second
        role_of = role_reader(self._info.video_codec, picture.extradata)
        # Where every picture is on screen at some instant there is nothing to leave out.
        skipping = fast and not settings.every_picture
        self._choice = FrameSkipper(role_of if skipping else None, instants, reordered=reordered)
        self._audio = audio
        numbers = [container.streams.audio.index(each) + 1 for each in audios]
        self._sound = (
            AudioMix(audios, numbers, self._origin, settings, choice.remark) if audios else None
        )
        # Other containers tell of damage themselves, or lie in another order than they are read.
        self._gaps = (
            FrameGaps(self._video, self._info.frame_rate, DISAGREEMENT)
            if self._info.container == "matroska"
            else None
        )
        self._emitted = 0  # seconds handed out
        self._position = 0.0  # seconds; how far into the file the picture packets have come
        self._sound_end = 0.0  # seconds; how far into the file the sound packets have come
        self._picture_behind = _LIVE_PICTURE_BEHIND if request.live else _PICTURE_BEHIND
        self._pictures_met = 0
        self._last_shown: int | None = None  # ticks
        self._damaged_pictures = 0
        self._read_failure: str | None = None
        self._silent = False
        self._left_out: float | None = None  # time of the first sound left out

    def blocks(self) -> Iterator[Clip]:
        """All seconds of the file in blocks; the last one is known to be the last.

        Not so of a live stream, of which each block is handed out as soon as it is there. What
        was wrong with one is raised as a `MediaError` when its last block was not known to be that.
        """
        stopped = False
        block_seconds = self._request.block_seconds
        for packet in self._packets():
            if packet.stream is self._video:
                self._take_pictures(packet)
            else:
                self._decode_sound(packet)
            if self._request.seconds is not None and self._complete_to(self._request.seconds):
                stopped = True
                break
            # Half a second of the next block must be there, or this one would be the last.
            more = Fraction(0) if self._request.live else _HALF
            while self._complete_to(self._emitted + block_seconds, more=more):
                yield self._block(block_seconds)
        self._flush()
        if self._pictures.empty and not stopped:
            raise MediaError(self._path, self._no_picture())
        end = int(self._end + _HALF)
        total = max(1, end if self._request.seconds is None else min(end, self._request.seconds))
        if self._emitted >= total and (problem := self._problem()):
            raise MediaError(self._path, problem[0].lower() + problem[1:-1])
        while self._emitted < total:
            yield self._block(min(block_seconds, total - self._emitted), total)

    def _packets(self) -> Iterator[av.Packet]:
        """Packets in file order; a failed read is tried again behind the damage."""
        streams: list[av.VideoStream | av.AudioStream] = [self._video]
        if self._sound is not None:
            streams += [s for s in self._container.streams.audio if s.index in self._sound.streams]
        failures = 0
        while failures < _READ_FAILURES:
            try:
                wanted = streams if self._gaps is None else list(self._container.streams)
                peeked, self._peeked = self._peeked, []
                for packet in itertools.chain(peeked, self._container.demux(wanted)):
                    if not packet.size:  # it asks for a flush, which `_flush` does once
                        continue
                    failures = 0
                    if self._gaps is not None:
                        self._gaps.add(packet)
                    if packet.stream in streams:
                        yield packet
                return
            except IndexError:
                # PyAV 18.1 stumbles so at the end of a file in which a track turned up midway
                # (mpg, ts, flv); every packet has been handed out by then.
                return
            except (av.error.ExitError, TimeoutError):
                # Only a live stream is given a time to answer in, see `avel_tf.video.live`.
                self._silent = True
                return
            # A damaged table may claim a packet of gigabytes: want of memory is damage here, but a
            # limit that was met in the decoders below.
            except (av.FFmpegError, OSError) as error:
                failures += 1
                self._read_failure = reason(error)
                self._choice.stop()
                _log.debug("%s: read failed: %s", self._info.path, error)

    @property
    def _end(self) -> Fraction:
        """Where the longer track ends, as far as it has come."""
        return max(self._pictures.end, self._sound.end if self._sound is not None else Fraction(0))

    def _complete_to(self, second: int, more: Fraction = Fraction(0)) -> bool:
        """Whether picture and sound up to this second are decided, and `more` of one follows."""
        pictures, sound = self._pictures, self._sound
        if not pictures.reached(second):
            return False
        if not (pictures.reached(second + more) or (sound and sound.seconds >= second + more)):
            return False
        if sound is None or sound.failure or sound.seconds >= second:
            return True
        return self._position >= second + _SOUND_BEHIND

    def _take_pictures(self, packet: av.Packet) -> None:
        self._stay = packet.duration
        ticks = packet.dts if packet.dts is not None else packet.pts
        if ticks is not None:
            self._position = max(self._position, float(ticks * self._tick - self._origin))
        for chosen, needed in self._choice.add(packet):
            self._decode_pictures(chosen, needed)

    def _decode_pictures(self, packet: av.Packet, needed: bool) -> None:
        if self._request.seconds is not None and self._pictures.reached(self._request.seconds):
            return  # only the sound is still waited for
        if not needed and packet.pts is not None:
            self._count_picture()
            self._pictures.pass_over(packet.pts, packet.duration)
            return
        try:
            frames = self._decoder.decode(packet)
        except MemoryError:
            raise
        except (av.FFmpegError, EOFError) as error:
            self._damage()
            _log.debug("%s: picture packet skipped: %s", self._info.path, error)
            return
        # Only some containers can tell: MPEG-TS counts its packets.
        if packet.is_corrupt:
            self._damage()
        self._show(frames)

    def _damage(self) -> None:
        self._damaged_pictures += 1
        # A damaged picture is patched from those around it; from here on none is left out.
        self._choice.stop()

    def _count_picture(self) -> None:
        self._pictures_met += 1
        self._limit("max_frames", self._pictures_met, "it holds {:,} pictures")
        # Time stamps, not the header, say how many there are in a second. In films without them
        # pictures follow one another in the usual time.
        allowed = self._settings.max_frame_rate
        if self._request.live:
            return
        if self._pictures_met > allowed * (self._position + _BURST_SECONDS):
            seconds = max(self._position, float(self._pictures.end))
            if self._pictures_met > allowed * (seconds + _BURST_SECONDS):
                found = f"it holds {self._pictures_met:,} pictures in its first {seconds:.2f} s"
                rate = self._pictures_met / seconds if seconds else math.inf
                over_limit(self._path, "max_frame_rate", rate, self._settings, found)

    def _show(self, frames: list[av.VideoFrame]) -> None:
        for frame in frames:
            if self._pictures.empty:
                self._info = replace(self._info, rotation=rotation_of(frame))
            self._count_picture()
            if frame.is_corrupt:
                self._damage()
            if frame.pts is not None:
                if self._last_shown is not None and frame.pts < self._last_shown:
                    self._choice.stop()  # what is shown when cannot be told from the packets
                self._last_shown = frame.pts
            pixels = frame.width * frame.height
            self._limit("max_pixels", pixels, "it holds a picture of {:,} pixels")
            self._pictures.add(frame)
            if self._pictures.ends_after(self._settings.max_seconds):
                end = float(self._pictures.end)
                self._limit("max_seconds", end, "it holds a picture at {:.6g} seconds")

    def _limit(self, name: str, value: float, finding: str) -> None:
        if value > getattr(self._settings, name):  # asked for every picture; words only if it is
            over_limit(self._path, name, value, self._settings, finding.format(value))

    def _decode_sound(self, packet: av.Packet) -> None:
        if self._sound is None:
            return
        if packet.pts is not None:
            # Measured against the places of picture and sound in the file and not against what has
            # been handed out, so that the size of the blocks makes no difference.
            time = float(self._sound.time_of(packet))
            ahead = max(self._position, self._sound_end) + _PICTURE_BEHIND
            if not self._position - _SOUND_BEHIND <= time <= ahead:
                self._left_out = time if self._left_out is None else min(self._left_out, time)
                return
        self._sound.decode(packet)
        self._sound_end = float(self._sound.end)
        # Encoders fill up their last packet, which is no second more.
        if self._sound_end >= self._settings.max_seconds + 0.5:
            self._limit("max_seconds", self._sound_end, "it holds sound at {:.6g} seconds")
        decided = int(self._sound_end) - self._picture_behind
        if decided > 0 and not self._pictures.reached(decided):
            self._hold(decided)

    def _hold(self, second: int) -> None:
        """Takes the latest picture to stay on screen up to this second."""
        for packet, needed in self._choice.rest():
            self._decode_pictures(packet, needed)
        self._show(self._decoder.drain((second + self._origin) / self._tick))
        self._pictures.hold(second)

    def _flush(self) -> None:
        """Fetches what is still held back, here and in the decoders."""
        for packet, needed in self._choice.rest():
            self._decode_pictures(packet, needed)
        self._show(self._decoder.finish())
        self._pictures.close(self._stay)
        if self._sound is not None:
            self._sound.decode(None)

    def _block(self, count: int, total: int | None = None) -> Clip:
        """The next `count` seconds; `total` is the length of the file, once it is known."""
        rate = self._request.frames_per_second
        frames = self._pictures.take(count * rate)  # [T*F, H, W, 3]
        frames = frames.reshape(count, rate, *frames.shape[1:])  # [T, F, H, W, 3]
        if self._sound is None:
            waveform = np.zeros(count * SAMPLE_RATE, np.float32)  # [T * 16000]
        else:
            waveform = self._sound.take(count * SAMPLE_RATE)  # [T * 16000]
        self._emitted += count
        sound = self._sound
        has_sound = sound is not None and not (sound.empty and sound.failure)
        valid = np.ones(count, bool)  # [T]; a file ends with its last second
        if self._emitted != total:
            return Clip(frames, waveform, valid, self._info, has_sound, None)
        return Clip(
            frames,
            waveform,
            valid,
            self._info,
            has_sound,
            self._problem(),
            remark=self._remark(),
            audio_track=sound.audio_track if sound is not None and has_sound else (),
        )

    def _no_picture(self) -> str:
        if self._damaged_pictures:
            return f"none of its pictures can be decoded ({self._damaged_pictures} packets tried)"
        if self._read_failure:
            return f"it has a header but no picture can be read ({self._read_failure})"
        return "it declares a picture track but holds no picture"

    def _problem(self) -> str | None:
        """What has gone wrong, as one sentence, once everything has been read."""
        found = []
        if self._damaged_pictures:
            found.append(f"{_count(self._damaged_pictures, 'damaged picture')} skipped or patched")
        if self._gaps is not None and self._gaps.missing:
            found.append(f"{float(self._gaps.missing):.1f} s of picture are missing in its midst")
        if self._sound is not None and self._sound.damaged:
            found.append(f"{_count(self._sound.damaged, 'damaged sound packet')} skipped")
        if self._sound is not None and self._sound.missing:
            found.append(f"{float(self._sound.missing):.1f} s of sound are missing in its midst")
        if self._silent:
            silence = self._settings.max_stall_seconds
            found.append(f"nothing came for {silence:g} s, which counts as the end")
        if not self._request.live:
            because = f" ({self._read_failure})" if self._read_failure else ""
            ends = disagreements(self._spans(), self._info, self._origin, self._request.seconds)
            found += [end + because for end in ends]
        if self._sound is not None and self._sound.failure:
            found.append(self._sound.failure)
        if self._sound is not None and self._sound.partial_failure:
            found.append(self._sound.partial_failure)
        for what, other, time in (
            ("sound", "picture", self._left_out),
            ("picture", "sound", self._pictures.late),
        ):
            if time is not None:
                found.append(
                    f"{what} from {float(time):.1f} s on was left out, because it lies too far "
                    f"from its {other} in the file"
                )
        if not found:
            return None
        sentence = "; ".join(found) + "."
        return sentence[0].upper() + sentence[1:]

    def _remark(self) -> str | None:
        """What is no fault, but assumed, once everything has been read."""
        end: Fraction | int = self._end
        if self._request.seconds is not None and self._request.seconds < end:
            end = self._request.seconds
        sound, spans, found = self._sound, self._spans(), []
        if sound is None or sound.failure:
            spans = spans[:1]
        elif sound.remark:
            found.append(sound.remark)
        return "; ".join([*found, *remarks(spans, self._info, end)]) or None

    def _spans(self) -> list[TrackSpan]:
        """Where the tracks begin and end, and where their header says so."""
        info, pictures, sound = self._info, self._pictures, self._sound
        picture_starts = self._declared_start(self._video)
        spans = [
            TrackSpan("picture", pictures.start, pictures.end, info.video_duration, picture_starts)
        ]
        if self._audio is not None and sound is not None:
            # Sound that was left out is missing because of that, if it is missed at all.
            declared = info.audio_duration if self._left_out is None else None
            starts = self._declared_start(self._audio)
            spans.append(TrackSpan("sound", sound.start, sound.end, declared, starts))
        return spans

    def _declared_start(self, stream: av.VideoStream | av.AudioStream) -> float:
        """Where a track begins by its own account, on the clip's clock."""
        start = start_of(stream)
        return float(start - self._origin) if start is not None else 0.0


def _count(number: int, thing: str) -> str:
    return f"{number} {thing} was" if number == 1 else f"{number} {thing}s were"
