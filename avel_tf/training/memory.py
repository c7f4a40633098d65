"""Memory limit for features."""

from __future__ import annotations

import os
from pathlib import Path

# The other half is for TensorFlow, the page cache and other programs.
SHARE = 0.5
# Limit of a container, by version of Linux's control groups.
_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
_MEMINFO = Path("/proc/meminfo")


def memory_for_features(memory_gb: float | None) -> float:
    """Compute the bytes that features may occupy in memory.

    Args:
        memory_gb: The setting, in 10^9 bytes. None: half of the available memory, or of the
            limit of the container if that is less.
    """
    if memory_gb is not None:
        return memory_gb * 1e9
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    if _MEMINFO.is_file():
        for line in _MEMINFO.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                sizes.append(int(line.split()[1]) * 1024)  # "kB" means 1,024 bytes here
    for path in _LIMITS:
        if path.is_file():
            text = path.read_text(encoding="ascii").strip()
            if text.isdecimal():  # "max" if there is no limit
                sizes.append(int(text))
    return SHARE * min(sizes)
