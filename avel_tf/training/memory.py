"""Memory limit for features."""

from __future__ import annotations

import os
from pathlib import Path

# The other half is for TensorFlow, the page cache and whatever else runs.
SHARE = 0.5
# Limit of a container, by version of Linux's control groups.
_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
_MEMINFO = Path("/proc/meminfo")


def memory_for_features(memory_gb: float | None) -> float:
    """Bytes that features may take in memory.

    Args:
        memory_gb: What the user has set, in 10^9 bytes; `None` takes half of what is available now,
            or of a container's limit where that is less.
    """
    if memory_gb is not None:
        return memory_gb * 1e9
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    if _MEMINFO.is_file():
        for line in _MEMINFO.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                sizes.append(int(line.split()[1]) * 1024)  # "kB" there means 1,024 bytes
    for path in _LIMITS:
        if path.is_file():
            text = path.read_text(encoding="ascii").strip()
            if text.isdecimal():  # "max" where there is none
                sizes.append(int(text))
    return SHARE * min(sizes)
