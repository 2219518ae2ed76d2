"""The tensors of a task's graphs, and the contract that service, training and card share."""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from service.contract.fields import Feature


class Tensor(BaseModel):
    """A named tensor of a model's graph; None is a free dimension (the batch)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    dtype: Literal["float32", "uint8", "int64"]
    shape: tuple[int | None, ...]


class Contract(BaseModel):
    """The inputs and outputs of a task's models; the same in service, training and card."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    input: Tensor
    outputs: tuple[Tensor, ...]
    features: tuple[Feature, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of the outputs, in order."""
        return tuple(output.name for output in self.outputs)

    @cached_property
    def hash(self) -> str:
        """sha256 over all that changes what a number means; wording may be mended freely."""
        facts = self.model_dump(mode="json")
        for feature in facts["features"]:
            feature["codes"] = sorted(feature["codes"], key=int)
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


Outputs = dict[str, NDArray[np.generic]]


Values = Sequence[float | None]
"""One row in declared order; None is not recorded."""
