"""Frame dependencies of a packet, parsed without decoding it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import av

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
