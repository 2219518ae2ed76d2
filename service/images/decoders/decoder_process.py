"""A process that reads pictures for the one that answers: `pool.py` starts it.

Its standard input is a socket. What comes and what goes are frames: the length of a pickle, eight
bytes, then the pickle. It ends when the other end is closed, and leaves SIGINT and SIGTERM to the
process that answers, which may have pictures to be read until its last moment.
"""

import pickle
import signal
import socket
import struct
import traceback
from contextlib import suppress
from pkgutil import resolve_name

from service.errors import PictureError

LENGTH = struct.Struct("<Q")
READY = b"+"
"""Sent once, before any answer."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Signals that are meant for the service as a whole."""


class ReadingFailed(Exception):
    """An error in the reading itself, not in the picture; its text is the traceback."""


def encode_frame(content: object) -> tuple[bytes, bytes]:
    """Encode an object as a frame: its length, then its bytes."""
    pickled = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(pickled)), pickled


def answer(end: socket.socket) -> None:
    """Read picture after picture, until the other end is closed.

    What is wanted is (function, encoded, max_pixels), the function as `module:name`; the answer is
    what it returns, the PictureError that it raises, or ReadingFailed.
    """
    wanted = end.makefile("rb")
    while len(head := wanted.read(LENGTH.size)) == LENGTH.size:
        (length,) = LENGTH.unpack(head)
        if len(content := wanted.read(length)) < length:
            return  # the other end was killed
        function, encoded, max_pixels = pickle.loads(content)
        try:
            result = resolve_name(function)(encoded, max_pixels=max_pixels)
        except PictureError as error:
            result = error
        except Exception:
            result = ReadingFailed(traceback.format_exc())
        end.sendall(b"".join(encode_frame(result)))


def main() -> None:
    """Answer on standard input."""
    for sent in SIGNALS:
        signal.signal(sent, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # blocked until here: see pool.py
    resolve_name("service.images.pixels")  # now, rather than with the first picture
    # A connection that breaks: nobody is there any more who wants an answer.
    with socket.socket(fileno=0) as end, suppress(ConnectionError):
        end.sendall(READY)
        answer(end)
