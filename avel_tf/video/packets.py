"""Reading of the packets of an open file across damage."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

import av
from av.container import InputContainer

_log = logging.getLogger(__name__)
# Number of consecutive failed reads after which the rest of the file is skipped.
_READ_FAILURES = 16


def read_packets(
    container: InputContainer,
    streams: Sequence[av.stream.Stream],
    peeked: Iterable[av.Packet] = (),
    on_failure: Callable[[Exception], None] = lambda error: None,
) -> Iterator[av.Packet]:
    """Yields packets in file order; after a failed read, continues behind the damage.

    Args:
        container: The file, opened.
        streams: Tracks to read.
        peeked: Packets that have been read before.
        on_failure: Called with the error of each failed read.

    Raises:
        av.error.ExitError, TimeoutError: A live stream is silent.
    """
    failures = 0
    peeked = iter(peeked)
    while failures < _READ_FAILURES:
        try:
            for packet in itertools.chain(peeked, container.demux(list(streams))):
                # A packet without content flushes decoders; users flush once, at the end.
                if packet.size:
                    failures = 0
                    yield packet
            return
        except IndexError:
            # PyAV 18.1 raises this at the end of a file in which a track appeared midway
            # (mpg, ts, flv), after the last packet.
            return
        except (av.error.ExitError, TimeoutError):
            raise
        # A damaged index may declare a packet of gigabytes, so here a failed allocation counts
        # as damage. In the decoders it means that the memory limit was reached.
        except (av.FFmpegError, OSError) as error:
            failures += 1
            on_failure(error)
            _log.debug("read failed: %s", error)
