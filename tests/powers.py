"""File permissions that hold for root, too, so that tests of them do not depend on the user."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

VERSION_3 = 0x20080522
# CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH of <linux/capability.h>.
READS_ALL = 1 << 1 | 1 << 2


@contextmanager
def without_powers() -> Iterator[None]:
    """Make root in this thread, and in threads started meanwhile, obey the modes of files."""
    if os.geteuid():
        yield
        return
    libc = ctypes.CDLL(None)
    header, before = (ctypes.c_uint32 * 2)(VERSION_3, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, before) == 0
    without = (ctypes.c_uint32 * 6)(before[0] & ~READS_ALL, *before[1:])
    assert libc.capset(header, without) == 0
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0
