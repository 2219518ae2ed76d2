"""The observer of a model's answers: a shadow, a journal, a monitor of drift.

A loaded model tells each of its observers of every call that it has answered, by whatever protocol
the call came. Rows that nobody sent, which an explanation computes, are not among them.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from service.contract.answers import ModelRef
from service.contract.signature import Outputs, Values

Rows = NDArray[Any] | Sequence[Values]
"""N rows of a call, N from 1: an array of the graph's input, or lists of values in declared order
in which None is a value that was not recorded."""


class Observer(Protocol):
    """Whatever wants to know what a model answers.

    Called between two answers, on the event loop or on any thread, on several at once: it neither
    waits nor raises. What takes time goes into a queue of bounded length.
    """

    def seen(self, rows: Rows, outputs: Outputs, ref: ModelRef) -> None:
        """Take note of one answered call, or of one chunk of a bulk job.

        `outputs` are the graph's, N rows each, by name; `ref` is the version that answered. Both
        arrays may be memory that the next call overwrites: whoever keeps them copies them.
        """
