"""Selection of the packets that must be decoded, by the dependencies between frames."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import av

from avel_tf.video.frame_sampler import SampleTimes

_START_CODE = b"\0\0\1"
_DAMAGED = b"\x80"  # the first bit of a unit is never set
# Every picture stands on its own.
_INTRA_ONLY = ("mjpeg", "prores", "dnxhd", "dvvideo")


class Role(NamedTuple):
    """Droppability of a coded frame and its neighbours.

    Args:
        starts: Neither it nor any later one, in the order of the file, refers to an earlier one.
        disposable: No other one refers to it, and the packet holds nothing else of use.
    """

    starts: bool
    disposable: bool


KEPT = Role(False, False)  # what is not understood is decoded


def role_reader(codec: str, extradata: bytes | None) -> Callable[[av.Packet], Role] | None:
    """A function that tells the role of the packets of one track.

    Args:
        codec: FFmpeg's name of the format.
        extradata: The decoder configuration of the track; it tells how packets are divided.

    Returns:
        The function; None for formats whose packets do not tell.

    Reference:
        ITU-T H.264, 7.3.1 and 7.4.1; ITU-T H.265, 7.3.1 and 7.4.2; ISO/IEC 14496-15, 5.3.3, 8.3.3.
    """
    if codec in _INTRA_ONLY:
        return lambda packet: Role(True, True)
    if codec not in ("h264", "hevc"):
        return None
    length_bytes = 0  # start codes lie between the units, as in MPEG-TS
    if extradata and extradata[0] == 1:
        place = 4 if codec == "h264" else 21
        if len(extradata) <= place:
            return None
        length_bytes = (extradata[place] & 3) + 1
    if codec == "h264":
        return lambda packet: _h264_role(_units(packet, length_bytes))
    # numTemporalLayers, where 0 means unknown; without it the parameter sets in the track tell.
    return _HevcRoles(length_bytes, extradata[21] >> 3 & 7 if extradata and length_bytes else 0)


def _units(packet: av.Packet, length_bytes: int) -> Iterator[bytes]:
    """The first three bytes of each network abstraction layer unit in a packet."""
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
        if unit[0] & 0x80:  # a bit that is forbidden
            return KEPT
        kind = unit[0] & 31
        if kind in (1, 5):  # slice of a picture; of one at which decoding can start afresh (IDR)
            slices += 1
            starts = starts and kind == 5
            disposable = disposable and kind == 1 and not unit[0] & 0x60  # nal_ref_idc
        elif kind in (2, 3, 4):  # a slice in partitions
            return KEPT
        elif kind not in (6, 9, 12):  # neither SEI, delimiter nor filler
            disposable = False
    return Role(starts, disposable) if slices else KEPT


class _HevcRoles:
    """Roles of HEVC packets, for which the number of temporal sub-layers must be known."""

    def __init__(self, length_bytes: int, sub_layers: int) -> None:
        self._length_bytes = length_bytes
        self._sub_layers = sub_layers  # 0 as long as it is unknown

    def __call__(self, packet: av.Packet) -> Role:
        slices, starts, disposable = 0, True, True
        for unit in _units(packet, self._length_bytes):
            if len(unit) < 2 or unit[0] & 0x81 or unit[1] & 0xF8:  # damaged, or a further view
                return KEPT
            kind = unit[0] >> 1
            if kind < 32:
                slices += 1
                starts = starts and kind in (19, 20)  # IDR
                # Even types below 16 are not referred to from the same temporal sub-layer; from
                # higher ones they may be.
                highest = unit[1] & 7 == self._sub_layers
                disposable = disposable and kind < 16 and not kind & 1 and highest
            elif kind not in (35, 38, 39, 40):  # neither delimiter, filler nor SEI
                disposable = False
                if kind == 33 and len(unit) == 3:  # sequence parameter set
                    self._sub_layers = (unit[2] >> 1 & 7) + 1
        return Role(starts, disposable) if slices else KEPT


# Packets are held back until it is known what is on screen at the next instant: for a second at
# F = 1, and the reordering of up to 16 pictures. 400 are a second at the 300 pictures per second
# that files may have by default, and some.
_MOST_PACKETS = 400
_MOST_BYTES = 1 << 24  # 16 MB, a second at 130 Mbit/s


@dataclass(slots=True)
class _Held:
    packet: av.Packet
    time: int  # when it is shown, in ticks; 0 where `wanted` makes it idle
    role: Role
    wanted: bool  # whatever instants there are


class FrameSkipper:
    """Holds packets back for a moment and tells which ones nobody would miss.

    A picture is wanted when an instant lies between its time and that of the picture shown after
    it. Of the others, those may be left out that no picture refers to (most B pictures), and those
    behind the last wanted one before decoding starts afresh (the end of a group of pictures):

        decoded    I . . P . . P . . P            instants at 2 and 11; capitals are referred to
        order      0 1 2 3 4 5 6 7 8 9 | 10 ...
        wanted         2                           from 3 on nothing is wanted before the next I

    It can err on the safe side only: a packet that turns up later can only shorten the time for
    which a picture is shown. What has no time stamps, or a clock that does not run on, is
    decoded; once the clock has gone wrong so is all that follows.

    Args:
        role_of: Tells what may be left out around a packet; None leaves out nothing.
        instants: When pictures are taken.
        reordered: Whether pictures may be shown in another order than that of the file. Then none
            is left out before the time stamps have shown that they know: in avi, and in what was
            copied out of one, they merely count packets.
    """

    def __init__(
        self,
        role_of: Callable[[av.Packet], Role] | None,
        instants: SampleTimes,
        reordered: bool,
    ) -> None:
        self._role_of = role_of
        self._instants = instants
        self._held: list[_Held] = []
        self._bytes = 0  # in the packets held
        self._unwanted = 0  # how many of them, from the first on, are known not to be wanted
        self._times: list[int] = []  # of pictures not older than those held, sorted
        self._latest: int | None = None  # decoding time, which later ones lie behind
        self._trusted = not reordered
        self._newest: int | None = None  # the highest time so far
        self._first: int | None = None  # time of the first picture that needs no other one

    def add(self, packet: av.Packet) -> list[tuple[av.Packet, bool]]:
        """Takes the next packet; returns those that are decided, and whether to decode them."""
        if self._role_of is None:
            return [(packet, True)]
        if not self._runs_on(packet):
            self.stop()
            return [*self._release(len(self._held)), (packet, True)]
        pts, role = packet.pts, self._role_of(packet)
        if self._first is None and role.starts:
            self._first = pts
        # Decoding begins with the first picture; and pictures that refer to some which are not in
        # the file may give anything.
        wanted = pts is None or packet.dts is None or self._first is None or pts <= self._first
        if pts is not None:
            self._trusted = self._trusted or (self._newest is not None and pts < self._newest)
            self._newest = pts if self._newest is None else max(self._newest, pts)
        wanted = wanted or not self._trusted
        # What an edit list cuts away is not shown, so it ends no other picture's time.
        wanted = wanted or packet.is_discard
        if pts is not None and not packet.is_discard:
            insort(self._times, pts)
        self._held.append(_Held(packet, pts or 0, role, wanted))
        self._bytes += packet.size
        return self._decide(ended=False)

    def rest(self) -> list[tuple[av.Packet, bool]]:
        """Packets still held, once there are no more."""
        return self._decide(ended=True) + self._release(len(self._held))

    def stop(self) -> None:
        """From here on everything is decoded."""
        self._role_of = None
        self._unwanted = 0
        for held in self._held:
            held.wanted, held.role = True, KEPT

    def _runs_on(self, packet: av.Packet) -> bool:
        """Return True if timestamps are in order and the decoder is not reconfigured."""
        if packet.is_corrupt or packet.has_sidedata("new_extradata"):
            return False
        if packet.dts is None:
            return True
        before, self._latest = self._latest, packet.dts
        late = packet.pts is not None and packet.pts < packet.dts
        return not late and (before is None or before < packet.dts)

    def _decide(self, ended: bool) -> list[tuple[av.Packet, bool]]:
        decided = []
        while self._unwanted < len(self._held):
            held = self._held[self._unwanted]
            if held.role.starts and self._unwanted:
                # None of those before it is wanted, and no later one needs them.
                decided += self._release(self._unwanted, all_unneeded=True)
                continue
            wanted = held.wanted or self._shown(held.time, ended)
            if wanted is None:
                break
            if wanted:
                held.wanted = True
                decided += self._release(self._unwanted + 1)
            else:
                self._unwanted += 1
        if len(self._held) > _MOST_PACKETS or self._bytes > _MOST_BYTES:
            decided += self._release(max(1, self._unwanted))
        return decided

    def _shown(self, time: int, ended: bool) -> bool | None:
        """True if a sample time falls on the frame of this time; None while undecided."""
        place = bisect_right(self._times, time)
        if place == len(self._times):
            return True if ended else None
        behind = self._times[place]
        if self._instants.before(behind) == self._instants.before(time):
            return False
        # Pictures do not come before their decoding time, so none can come between any more.
        return True if ended or (self._latest is not None and behind <= self._latest) else None

    def _release(self, count: int, all_unneeded: bool = False) -> list[tuple[av.Packet, bool]]:
        """Lets go of the first packets; the last one may be wanted, those before it are not."""
        released = []
        for number, held in enumerate(self._held[:count]):
            unneeded = all_unneeded or held.role.disposable
            keep = held.wanted or number >= self._unwanted or not unneeded
            released.append((held.packet, keep))
            self._bytes -= held.packet.size
        del self._held[:count]
        self._unwanted = max(0, self._unwanted - count)
        if released and (dts := released[-1][0].dts) is not None:
            # What follows is decoded later, and not shown before that.
            del self._times[: bisect_right(self._times, dts)]
        return released
