"""Selection of the packets that must be decoded, by the dependencies between frames."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import av

from avel_tf.video.frame_sampler import SampleTimes

_START_CODE = b"\0\0\1"
_DAMAGED = b"\x80"  # the first bit of a valid unit is 0
# Formats in which every frame can be decoded on its own.
_INTRA_ONLY = ("mjpeg", "prores", "dnxhd", "dvvideo")


class Role(NamedTuple):
    """Dependencies of a coded frame on its neighbours.

    Args:
        starts: Neither it nor any later frame in file order refers to an earlier one.
        disposable: No other frame refers to it, and the packet contains nothing else of use.
    """

    starts: bool
    disposable: bool


KEPT = Role(False, False)  # packets that cannot be parsed are decoded


def role_reader(codec: str, extradata: bytes | None) -> Callable[[av.Packet], Role] | None:
    """Creates a function that parses the role of a packet of one track.

    Args:
        codec: FFmpeg's name of the format.
        extradata: The decoder configuration of the track, which defines the framing of units.

    Returns:
        The function; None for formats that are not parsed.

    Reference:
        ITU-T H.264, 7.3.1 and 7.4.1; ITU-T H.265, 7.3.1 and 7.4.2; ISO/IEC 14496-15, 5.3.3, 8.3.3.
    """
    if codec in _INTRA_ONLY:
        return lambda packet: Role(True, True)
    if codec not in ("h264", "hevc"):
        return None
    length_bytes = 0  # units are separated by start codes, as in MPEG-TS
    if extradata and extradata[0] == 1:
        place = 4 if codec == "h264" else 21
        if len(extradata) <= place:
            return None
        length_bytes = (extradata[place] & 3) + 1
    if codec == "h264":
        return lambda packet: _h264_role(_units(packet, length_bytes))
    # numTemporalLayers, 0 if unknown; then it is read from the parameter sets in the track.
    return _HevcRoles(length_bytes, extradata[21] >> 3 & 7 if extradata and length_bytes else 0)


def _units(packet: av.Packet, length_bytes: int) -> Iterator[bytes]:
    """Yields the first three bytes of each network abstraction layer unit in a packet."""
    data = bytes(packet)
    at = 0
    while length_bytes and at < len(data):
        size = int.from_bytes(data[at : at + length_bytes], "big")
        at += length_bytes
        if not size or at + size > len(data):
            yield _DAMAGED
            return
        yield data[at : min(at + 3, at + size)]
        at += size
    if not length_bytes:
        at = data.find(_START_CODE)
        while at >= 0:
            yield data[at + 3 : at + 6] or _DAMAGED
            at = data.find(_START_CODE, at + 3)


def _h264_role(units: Iterator[bytes]) -> Role:
    slices, starts, disposable = 0, True, True
    for unit in units:
        if unit[0] & 0x80:  # forbidden_zero_bit
            return KEPT
        kind = unit[0] & 31
        if kind in (1, 5):  # slice of a non-IDR or an IDR picture
            slices += 1
            starts = starts and kind == 5
            disposable = disposable and kind == 1 and not unit[0] & 0x60  # nal_ref_idc
        elif kind in (2, 3, 4):  # data partitions
            return KEPT
        elif kind not in (6, 9, 12):  # not SEI, delimiter or filler
            disposable = False
    return Role(starts, disposable) if slices else KEPT


class _HevcRoles:
    """Roles of HEVC packets, which depend on the number of temporal sub-layers."""

    def __init__(self, length_bytes: int, sub_layers: int) -> None:
        self._length_bytes = length_bytes
        self._sub_layers = sub_layers  # 0 while unknown

    def __call__(self, packet: av.Packet) -> Role:
        slices, starts, disposable = 0, True, True
        for unit in _units(packet, self._length_bytes):
            if len(unit) < 2 or unit[0] & 0x81 or unit[1] & 0xF8:  # damaged, or another layer
                return KEPT
            kind = unit[0] >> 1
            if kind < 32:
                slices += 1
                starts = starts and kind in (19, 20)  # IDR
                # Even types below 16 are not referenced from the same temporal sub-layer, but may
                # be from higher ones.
                highest = unit[1] & 7 == self._sub_layers
                disposable = disposable and kind < 16 and not kind & 1 and highest
            elif kind not in (35, 38, 39, 40):  # not delimiter, filler or SEI
                disposable = False
                if kind == 33 and len(unit) == 3:  # sequence parameter set
                    self._sub_layers = (unit[2] >> 1 & 7) + 1
        return Role(starts, disposable) if slices else KEPT


# Packets are held until the frame on screen at the next sample time is known: a second at F = 1,
# and for the reordering of up to 16 frames. 400 packets are more than a second at 300 frames per
# second, the default limit.
_MOST_PACKETS = 400
_MOST_BYTES = 1 << 24  # 16 MB, a second at 130 Mbit/s


@dataclass(slots=True)
class _Held:
    packet: av.Packet
    time: int  # display time in ticks; unused if `needed`
    role: Role
    needed: bool  # at any sample time


class FrameSkipper:
    """Delay of packets that drops those on which no sampled frame depends.

    A frame is sampled if a sample time is between its time and that of the next frame on screen.
    Other frames can be dropped if no frame refers to them (most B frames), or if they follow the
    last sampled one in their group of pictures:

        frames     I . . P . . P . . P            samples at 2 and 11; capitals are references
        order      0 1 2 3 4 5 6 7 8 9 | 10 ...
        sampled        2                           from 3 on, none before the next I

    Errors are on the safe side: a later packet can only shorten the time for which a frame is on
    screen. Packets without time stamps are decoded. So are all packets after one whose time stamps
    are out of order.

    Args:
        role_of: Function of `role_reader`; None drops no packet.
        times: Sample times.
        reordered: Whether display order may differ from file order. Then no packet is dropped
            until a time stamp has stepped back: the time stamps in avi, and in copies from avi,
            only count packets.
    """

    def __init__(
        self,
        role_of: Callable[[av.Packet], Role] | None,
        times: SampleTimes,
        reordered: bool,
    ) -> None:
        self._role_of = role_of
        self._sample_times = times
        self._held: list[_Held] = []
        self._bytes = 0  # of the held packets
        self._unneeded = 0  # number of held packets, from the first on, that are not sampled
        self._times: list[int] = []  # display times of the held frames and later ones, sorted
        self._latest: int | None = None  # latest decoding time
        self._trusted = not reordered
        self._newest: int | None = None  # the highest time so far
        self._first: int | None = None  # time of the first frame that can be decoded on its own

    def add(self, packet: av.Packet) -> list[tuple[av.Packet, bool]]:
        """Adds the next packet; returns decided packets, each with whether to decode it."""
        if self._role_of is None:
            return [(packet, True)]
        if not self._runs_on(packet):
            self.stop()
            return [*self._release(len(self._held)), (packet, True)]
        pts, role = packet.pts, self._role_of(packet)
        if self._first is None and role.starts:
            self._first = pts
        # The first frame and those before it are decoded, because they may refer to frames that
        # are not in the file.
        needed = pts is None or packet.dts is None or self._first is None or pts <= self._first
        if pts is not None:
            self._trusted = self._trusted or (self._newest is not None and pts < self._newest)
            self._newest = pts if self._newest is None else max(self._newest, pts)
        needed = needed or not self._trusted
        # A frame that an edit list removes is not shown, so it does not end another frame's time.
        needed = needed or packet.is_discard
        if pts is not None and not packet.is_discard:
            insort(self._times, pts)
        self._held.append(_Held(packet, pts or 0, role, needed))
        self._bytes += packet.size
        return self._decide(ended=False)

    def rest(self) -> list[tuple[av.Packet, bool]]:
        """Returns the packets still held after the last one."""
        return self._decide(ended=True) + self._release(len(self._held))

    def stop(self) -> None:
        """Drops no further packet."""
        self._role_of = None
        self._unneeded = 0
        for held in self._held:
            held.needed, held.role = True, KEPT

    def _runs_on(self, packet: av.Packet) -> bool:
        """Returns True if time stamps are in order and the decoder is not reconfigured."""
        if packet.is_corrupt or packet.has_sidedata("new_extradata"):
            return False
        if packet.dts is None:
            return True
        before, self._latest = self._latest, packet.dts
        late = packet.pts is not None and packet.pts < packet.dts
        return not late and (before is None or before < packet.dts)

    def _decide(self, ended: bool) -> list[tuple[av.Packet, bool]]:
        decided = []
        while self._unneeded < len(self._held):
            held = self._held[self._unneeded]
            if held.role.starts and self._unneeded:
                # No earlier held frame is sampled, and no later one refers to them.
                decided += self._release(self._unneeded, drop_all=True)
                continue
            needed = held.needed or self._sampled(held.time, ended)
            if needed is None:
                break
            if needed:
                held.needed = True
                decided += self._release(self._unneeded + 1)
            else:
                self._unneeded += 1
        if len(self._held) > _MOST_PACKETS or self._bytes > _MOST_BYTES:
            decided += self._release(max(1, self._unneeded))
        return decided

    def _sampled(self, time: int, ended: bool) -> bool | None:
        """Returns True if the frame of this time is sampled; None while undecided."""
        place = bisect_right(self._times, time)
        if place == len(self._times):
            return True if ended else None
        behind = self._times[place]
        if self._sample_times.before(behind) == self._sample_times.before(time):
            return False
        # A frame is shown after it is decoded, so no later packet can be between the two.
        return True if ended or (self._latest is not None and behind <= self._latest) else None

    def _release(self, count: int, drop_all: bool = False) -> list[tuple[av.Packet, bool]]:
        """Releases the first packets, of which only the last one may be sampled."""
        released = []
        for number, held in enumerate(self._held[:count]):
            droppable = drop_all or held.role.disposable
            keep = held.needed or number >= self._unneeded or not droppable
            released.append((held.packet, keep))
            self._bytes -= held.packet.size
        del self._held[:count]
        self._unneeded = max(0, self._unneeded - count)
        if released and (dts := released[-1][0].dts) is not None:
            # Later packets are not shown before this time.
            del self._times[: bisect_right(self._times, dts)]
        return released
