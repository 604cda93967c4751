"""Tell the allocator to keep its memory: page faults of big temporaries cost up to half of a training step on glibc."""

import ctypes
import logging

log = logging.getLogger(__name__)

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def keep_memory() -> bool:
    """Serve big blocks from the heap and give nothing back to the system until the process ends.

    Without it glibc maps, zeroes and unmaps every tensor above 32 MB (and many below) at each use. The price is that
    resident memory stays at its peak. Called by commands and the loop, never on import. Returns False, and changes
    nothing, where the C library is not glibc.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        done = libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30) and libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
    except (OSError, AttributeError):
        log.debug("no glibc here: the allocator is left as it is")
        return False
    return bool(done)
