"""A process that decodes pictures for the one that answers: `pool.py` starts it.

A decoder of pictures is where a stranger's bytes meet the most code that is not Python, so the
process is a sandbox. Its environment holds nothing of the service's. Before its first picture it
gives up, for good, to open a file or a connection, to write to one, to start a process, to gain
privileges, and memory beyond what a picture may take.

Its standard input is a socket. What comes over it is a picture, what goes is raw pixels or the code
of an error and its text: no pickle, from which a process that was taken over could reach the other.
The process ends when the other end is closed, and leaves SIGINT and SIGTERM to the process that
answers, which may have pictures to be decoded until its last moment.
"""

import ctypes
import json
import os
import resource
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
from numpy.typing import NDArray

from service.errors import BlankImage, ImageTooLarge, PictureError, UnreadableImage

REQUEST = struct.Struct("<BQ")
"""Before a picture: the number of its reader, and how many bytes it has."""
ANSWER = struct.Struct("<BI")
"""Before an answer: PIXELS or the number of an error of `ERRORS`, and how many bytes it has."""
READY = b"+"
"""Sent once, before any answer."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Signals that are meant for the service as a whole."""
SLACK_BYTES = 16 * 2**20
"""Memory beyond that of a picture, so that its estimate and not the system refuses it."""
LONGEST_TEXT = 4096
"""Characters of an error that are passed on."""
PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h
OUT_OF_MEMORY = -4  # cv::Error::StsNoMem


class ReadingFailed(Exception):
    """An error in the reading itself, not in the picture; its text is where it was raised."""


PIXELS = 0
ERRORS: dict[int, type[PictureError | ReadingFailed]] = {
    1: UnreadableImage,
    2: ImageTooLarge,
    3: BlankImage,
    4: ReadingFailed,
}


@dataclass(frozen=True)
class DecoderSettings:
    """The settings that a decoder process is started with."""

    readers: tuple[str, ...]
    """The functions that decode, as `module:name`; a request has the number of one of them."""
    max_pixels: int
    max_bytes: int
    cpu_seconds: int = 5
    """Processor time that one picture may take; the largest allowed takes one second."""

    def arguments(self) -> list[str]:
        """Return the command line that `main` reads."""
        return [json.dumps(asdict(self))]


def decoded(read: Callable[[bytes], NDArray[np.uint8]], encoded: bytes) -> tuple[int, bytes]:
    """Return the code and the bytes that answer a picture."""
    try:
        return PIXELS, read(encoded).tobytes()
    except (UnreadableImage, ImageTooLarge, BlankImage) as error:
        wrong: PictureError | ReadingFailed = error
    except Exception as error:
        if isinstance(error, MemoryError) or getattr(error, "code", None) == OUT_OF_MEMORY:
            wrong = ImageTooLarge(
                "decoding the picture takes more memory than the process may have"
            )
        else:
            where = "".join(traceback.format_tb(error.__traceback__))  # without a value
            wrong = ReadingFailed(f"{where}{type(error).__name__}"[-LONGEST_TEXT:])
    code = next(code for code, kind in ERRORS.items() if isinstance(wrong, kind))
    return code, str(wrong)[:LONGEST_TEXT].encode(errors="replace")


def answer(end: socket.socket, settings: DecoderSettings) -> None:
    """Decode picture after picture, until the other end is closed."""
    limits = {"max_pixels": settings.max_pixels, "max_bytes": settings.max_bytes}
    readers = [partial(resolve_name(name), **limits) for name in settings.readers]
    wanted = end.makefile("rb")
    confine(settings.max_bytes)
    end.sendall(READY)
    while len(head := wanted.read(REQUEST.size)) == REQUEST.size:
        number, length = REQUEST.unpack(head)
        if len(encoded := wanted.read(length)) < length:
            return  # the other end was killed
        limit_time(settings.cpu_seconds)
        code, content = decoded(readers[number], encoded)
        end.sendall(ANSWER.pack(code, len(content)) + content)


def confine(max_bytes: int) -> None:
    """Give up everything that decoding does not need."""
    with suppress(OSError):  # no /proc
        # Where memory runs out all the same, the system is to end this process and no other.
        Path("/proc/self/oom_score_adj").write_text("1000")
    with suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit(resource.RLIMIT_AS, pages * resource.getpagesize() + max_bytes + SLACK_BYTES)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(null, stream)
    os.close(null)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):
        limit(kind, 0)
    limit(resource.RLIMIT_NOFILE, 0)  # what is open stays: the socket


def limit(kind: int, most: int) -> None:
    """Lower a limit of this process, and what it may raise it to."""
    _, hard = resource.getrlimit(kind)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


def limit_time(seconds: int) -> None:
    """Have SIGXCPU end this process unless the next picture is decoded in time."""
    most = int(time.process_time()) + 1 + seconds
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def main() -> None:
    """Answer on standard input."""
    settings = json.loads(sys.argv[1])
    for sent in SIGNALS:
        signal.signal(sent, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # blocked until here: see pool.py
    # A connection that breaks: nobody is there any more who wants an answer.
    with socket.socket(fileno=0) as end, suppress(ConnectionError):
        answer(end, DecoderSettings(**settings))
