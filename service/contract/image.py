"""A task of pictures: one picture in, one of several classes out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pkgutil import resolve_name
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.contract.answers import ImagePrediction, ModelRef
from service.contract.probability import check_probabilities
from service.contract.signature import Contract, Outputs, Tensor
from service.contract.uncertainty import OOD_SCORE, Confidence


class ReadPicture(Protocol):
    """Turns one encoded picture into what the network was trained on. Raises PictureError."""

    def __call__(self, encoded: bytes, *, max_pixels: int) -> NDArray[np.uint8]:
        """Encoded bytes to uint8[28, 28]."""


@dataclass(frozen=True)
class ImageTask:
    """A picture in, one of `labels` out.

    `reading` names the function, as `module:name`, that turns an encoded picture into uint8[28, 28]
    (the only preprocessing outside the graph): a name, because the process that answers does not
    import it (`service/images/decoders/pool.py`). `answer` names the graph's int64 output and field
    of `prediction` that carries the class.
    """

    name: str
    title: str
    prediction: type[ImagePrediction]
    answer: str
    labels: tuple[str, ...]
    reading: str
    to_label: Callable[[int], object] = int

    @cached_property
    def read(self) -> ReadPicture:
        """The function itself."""
        function: ReadPicture = resolve_name(self.reading)
        return function

    @cached_property
    def contract(self) -> Contract:
        """`image` uint8[N, 28, 28] in; three tensors out.

        `probabilities` float32[N, K], the class int64[N], and `familiarity` float32[N] from 0 to 1:
        how much a picture looks like what the model learned from.
        """
        return Contract(
            task=self.name,
            input=Tensor(name="image", dtype="uint8", shape=(None, 28, 28)),
            outputs=(
                Tensor(name="probabilities", dtype="float32", shape=(None, len(self.labels))),
                Tensor(name=self.answer, dtype="int64", shape=(None,)),
                Tensor(name=OOD_SCORE, dtype="float32", shape=(None,)),
            ),
            labels=self.labels,
        )

    def answers(
        self, outputs: Outputs, model: ModelRef, confidence: Confidence | None = None
    ) -> Sequence[ImagePrediction]:
        """One prediction a picture: the likeliest class, however likely it is.

        `confidence` is that of the model's card. Raises InvalidOutput unless every probability and
        familiarity is in 0..1.
        """
        table = [
            check_probabilities(probabilities)
            for probabilities in outputs["probabilities"].tolist()
        ]
        chosen = outputs[self.answer].tolist()
        familiarity = check_probabilities(outputs[OOD_SCORE].tolist())
        return [
            self.prediction.model_validate(
                {
                    self.answer: self.to_label(index),
                    "probability": probabilities[index],
                    "probabilities": probabilities,
                    "model": model,
                    **self._judged(probabilities, familiar, confidence),
                }
            )
            for probabilities, index, familiar in zip(table, chosen, familiarity, strict=True)
        ]

    def _judged(
        self, probabilities: list[float], familiarity: float, confidence: Confidence | None
    ) -> dict[str, object]:
        if confidence is None:
            return {}
        judged: dict[str, object] = {
            "prediction_set": [self.to_label(k) for k in confidence.sets.classes(probabilities)]
        }
        if (known := confidence.familiar) is not None:
            judged["in_distribution"] = familiarity >= known.cutoff
            if familiarity < known.cutoff:
                judged["warnings"] = [
                    "it does not look like the pictures that the model learned from: familiarity "
                    f"{familiarity:.3g}, expected at least {known.cutoff:.3g}"
                ]
        return judged
