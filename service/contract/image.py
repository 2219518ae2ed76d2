"""Tasks of pictures: one picture in, one of several classes out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pkgutil import resolve_name
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from service.contract.answers import ImagePrediction, ModelRef
from service.contract.probability import check_probabilities
from service.contract.signature import Contract, Outputs, Tensor
from service.contract.task import Task
from service.contract.uncertainty import OOD_SCORE, Confidence


class ReadPicture(Protocol):
    """A function from one encoded picture to what the network was trained on."""

    def __call__(
        self, encoded: bytes, *, max_pixels: int = ..., max_bytes: int = ...
    ) -> NDArray[np.uint8]:
        """Return uint8[height, width], of the task's size. Raises PictureError."""


@dataclass(frozen=True)
class ImageTask(Task):
    """A picture in, one of `labels` out.

    `reading` names the function, as `module:name`, that turns an encoded picture into uint8 of
    `size`, rows and columns (the only preprocessing outside the graph): a name, because the process
    that answers does not import it (`service/images/decoders/pool.py`). Where it runs no file can
    be opened: its module imports all that it needs when it is imported itself. `answer` names the
    graph's int64 output and field of `prediction` that carries the class.
    """

    prediction: type[ImagePrediction]
    answer: str
    labels: tuple[str, ...]
    reading: str
    to_label: Callable[[int], object] = int
    size: tuple[int, int] = (28, 28)

    @cached_property
    def read(self) -> ReadPicture:
        """The function that `reading` names."""
        function: ReadPicture = resolve_name(self.reading)
        return function

    @cached_property
    def contract(self) -> Contract:
        """`image` uint8[N, height, width] in; three tensors out.

        `probabilities` float32[N, K], the class int64[N], and `in_distribution_score`
        float32[N] from 0 to 1: its likeness to the pictures that the model learned from.
        """
        return Contract(
            task=self.name,
            input=Tensor(name="image", dtype="uint8", shape=(None, *self.size)),
            outputs=(
                Tensor(name="probabilities", dtype="float32", shape=(None, len(self.labels))),
                Tensor(name=self.answer, dtype="int64", shape=(None,)),
                Tensor(name=OOD_SCORE, dtype="float32", shape=(None,)),
            ),
            labels=self.labels,
        )

    def answers(
        self,
        outputs: Outputs,
        batch: NDArray[np.uint8],
        model: ModelRef,
        threshold: float,
        confidence: Confidence | None = None,
    ) -> Sequence[ImagePrediction]:
        """Return one prediction a picture: the likeliest class, however likely it is.

        `confidence` is that of the model's card; there is no threshold to reach. Raises
        InvalidOutput unless every probability and score is in 0..1.
        """
        table = [
            check_probabilities(probabilities)
            for probabilities in outputs["probabilities"].tolist()
        ]
        chosen = outputs[self.answer].tolist()
        scores = check_probabilities(outputs[OOD_SCORE].tolist())
        return [
            self.prediction.model_validate(
                {
                    self.answer: self.to_label(index),
                    "probability": probabilities[index],
                    "probabilities": probabilities,
                    "model": model,
                    **self._judged(probabilities, score, confidence),
                }
            )
            for probabilities, index, score in zip(table, chosen, scores, strict=True)
        ]

    def decide(self, outputs: Outputs, threshold: float) -> NDArray[np.generic]:
        """Return the class of each picture, int64[N]."""
        return outputs[self.answer]

    def graph_outputs(self, answer: Any, ops: Any) -> dict[str, Any]:
        """Return `probabilities` and the class of a network's answer [N, K].

        Familiarity is no part of the network: training adds it to the graph.
        """
        return {"probabilities": answer, self.answer: ops.argmax(answer, axis=1)}

    def corner_inputs(self, ordinary: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return uint8[4, height, width]: black, white and two pictures of noise."""
        black = np.zeros(self.size, np.uint8)
        noise = np.random.default_rng(0).integers(0, 256, (2, *self.size), np.uint8)
        return np.stack([black, 255 - black, *noise])

    def _judged(
        self, probabilities: list[float], score: float, confidence: Confidence | None
    ) -> dict[str, object]:
        if confidence is None:
            return {}
        judged: dict[str, object] = {
            "prediction_set": [
                self.to_label(k) for k in confidence.conformal.classes(probabilities)
            ]
        }
        if (known := confidence.ood) is not None:
            judged["in_distribution"] = score >= known.threshold
            if score < known.threshold:
                judged["warnings"] = [
                    "it does not look like the pictures that the model learned from: "
                    f"in-distribution score {score:.3g}, expected at least {known.threshold:.3g}"
                ]
        return judged
