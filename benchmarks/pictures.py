"""How many digits drawn by people are read right, through the same bytes a caller would upload.

    python benchmarks/pictures.py --model models/digits/1/model.onnx --data ../shared/data

Prints accuracy on `drawn/` (by half, kind and background), `hwd-1000/` and the MNIST test set saved
as PNG and JPEG, as dark on light and at 4 times the size; every failure; and the time it takes.

The people of `drawn/` are split in halves by a fixed rule, `half` below: pixels.py was tuned on the
pictures of one half only, so the other says how people do whom nobody has seen.
"""

import argparse
import csv
import gzip
import hashlib
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from service.errors import PictureError  # noqa: E402  run as a file, from anywhere
from service.images.pixels import read_digit  # noqa: E402

BATCH = 500


@dataclass(frozen=True)
class Sample:
    """One encoded picture, the digit on it, and what the table groups it by."""

    name: str
    encoded: bytes
    label: int
    half: str = ""
    kind: str = ""
    background: str = ""


@dataclass(frozen=True)
class Answer:
    """What came out: the digit read (-1 and the reason when refused) and its probability."""

    sample: Sample
    digit: int
    probability: float
    refused: str = ""

    @property
    def right(self) -> bool:
        """Whether the digit read is the one that was drawn."""
        return self.digit == self.sample.label


def half(person: str) -> str:
    """`tune` or `report`, by the first byte of the SHA-256 of the person's name: even or odd."""
    return "report" if hashlib.sha256(person.encode()).digest()[0] % 2 else "tune"


def drawn(data: Path) -> list[Sample]:
    """The digits that people drew or photographed to try their own networks."""
    folder = data / "drawn"
    with (folder / "manifest.csv").open(newline="") as manifest:
        return [
            Sample(
                row["file"],
                (folder / row["file"]).read_bytes(),
                int(row["label"]),
                half(row["file"].split("__")[0]),
                row["kind"],
                row["background"],
            )
            for row in csv.DictReader(manifest)
        ]


def hwd(data: Path) -> list[Sample]:
    """Digits in black pen, 28x28; the label is the first character of the name."""
    files = sorted((data / "hwd-1000").glob("*.png"))
    return [Sample(file.name, file.read_bytes(), int(file.name[0])) for file in files]


def mnist_test(data: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The 10,000 test pictures, uint8[10000, 28, 28], and their labels."""
    packed = [data / "mnist" / f"t10k-{name}-ubyte.gz" for name in ("images-idx3", "labels-idx1")]
    images, labels = (gzip.decompress(file.read_bytes()) for file in packed)
    pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28)
    return pixels, np.frombuffer(labels, np.uint8, offset=8)


def png(picture: NDArray[np.uint8]) -> bytes:
    """Encode losslessly, fast rather than small."""
    file = BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=1)
    return file.getvalue()


def enlarged(image: NDArray[np.uint8], how: int) -> NDArray[np.uint8]:
    """Four times the size."""
    return np.asarray(cv2.resize(image, None, fx=4, fy=4, interpolation=how), dtype=np.uint8)


def jpeg(picture: NDArray[np.uint8]) -> bytes:
    """Encode as a browser or a scanner would."""
    file = BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=85)
    return file.getvalue()


VARIANTS: dict[str, Callable[[NDArray[np.uint8]], bytes]] = {
    "saved as PNG": png,
    "dark on light": lambda image: png(~image),
    "x4, nearest": lambda image: png(enlarged(image, cv2.INTER_NEAREST)),
    "x4, cubic": lambda image: png(enlarged(image, cv2.INTER_CUBIC)),
    "x4, linear, dark on light": lambda image: png(~enlarged(image, cv2.INTER_LINEAR)),
    "saved as JPEG": jpeg,
    "x4, cubic, dark on light, JPEG": lambda image: jpeg(~enlarged(image, cv2.INTER_CUBIC)),
}


class Reader:
    """The digits model, on one thread."""

    def __init__(self, model: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8[N, 28, 28] -> float32[N, 10]."""
        batches = [images[at : at + BATCH] for at in range(0, len(images), BATCH)]
        answers = [self.session.run(["probabilities"], {"image": batch})[0] for batch in batches]
        return np.concatenate([np.asarray(answer, np.float32) for answer in answers])

    def answers(self, samples: Iterable[Sample]) -> list[Answer]:
        """Read every sample as an upload would be read."""
        samples = list(samples)
        images, refused = np.zeros((len(samples), 28, 28), np.uint8), [""] * len(samples)
        for i, sample in enumerate(samples):
            try:
                images[i] = read_digit(sample.encoded)
            except PictureError as error:
                refused[i] = str(error)
        return [
            Answer(sample, -1, 0.0, reason)
            if reason
            else Answer(sample, int(scores.argmax()), float(scores.max()))
            for sample, reason, scores in zip(
                samples, refused, self.probabilities(images), strict=True
            )
        ]


def row(name: str, answers: list[Answer]) -> None:
    """One line of the table."""
    if answers:
        right = sum(answer.right for answer in answers)
        print(f"{name:52} {right:6} / {len(answers):<6} {100 * right / len(answers):7.2f} %")


def drawn_table(answers: list[Answer]) -> None:
    """All, by half of the people, by kind, by background."""
    row("drawn, all", answers)
    for part in ("tune", "report"):
        row(f"drawn, {part} people", [a for a in answers if a.sample.half == part])
    photos = [a for a in answers if "photo" in a.sample.kind]
    row("drawn, anything photographed", photos)
    for field in ("kind", "background"):
        for value in sorted({getattr(a.sample, field) for a in answers}):
            row(f"    {value}", [a for a in answers if getattr(a.sample, field) == value])


def failures(answers: list[Answer]) -> None:
    """Each picture read wrongly: file, label, what was read, with what probability."""
    for a in answers:
        if not a.right:
            read = f"refused: {a.refused}" if a.refused else f"{a.digit} ({a.probability:.3f})"
            print(f"    {a.sample.half:6} {a.sample.name:48} label {a.sample.label} read {read}")


def mnist_table(reader: Reader, data: Path) -> None:
    """The test set through the model alone, then through each variant's bytes."""
    images, labels = mnist_test(data)
    alone = 100 * float((reader.probabilities(images).argmax(axis=1) == labels).mean())
    print(f"{'MNIST test, straight into the model':52} {alone:25.2f} %")
    for name, variant in VARIANTS.items():
        samples = (
            Sample(str(i), variant(image), int(label))
            for i, (image, label) in enumerate(zip(images, labels, strict=True))
        )
        row(f"MNIST test, {name}", reader.answers(samples))


def canvas(height: int, width: int, pen: int, noise: float) -> NDArray[np.uint8]:
    """A 3 on a sheet, to take the time with."""
    sheet = np.full((height, width, 3), 228, np.uint8)
    unit = min(height, width) / 280
    for y, start, stop in ((105, 180, 400), (175, -90, 150)):
        centre, axes = (int(140 * unit), int(y * unit)), (int(45 * unit), int(36 * unit))
        cv2.ellipse(sheet, centre, axes, 0, start, stop, (40, 40, 70), pen, cv2.LINE_AA)
    spread = np.random.default_rng(0).normal(0, noise, sheet.shape) if noise else 0
    return np.asarray(np.clip(sheet + spread, 0, 255), dtype=np.uint8)


def timed_pictures() -> dict[str, bytes]:
    """What time is taken with: a canvas as a browser sent it, others, and a phone's photo."""
    photo = BytesIO()
    Image.fromarray(canvas(4000, 3000, 60, 4)).save(photo, "JPEG", quality=85)
    grey = canvas(280, 280, 14, 0)[..., 0]
    opaque = np.full_like(grey, 255)
    return {
        "28x28 MNIST PNG": png(read_digit(png(grey))),
        "280x280 canvas PNG, a browser's": (ROOT / "benchmarks/canvas.png").read_bytes(),
        "280x280 canvas PNG, grey": png(grey),
        "280x280 canvas PNG, RGBA": png(np.dstack([grey, grey, grey, opaque])),
        "280x280 canvas PNG, transparent": png(np.dstack([grey, grey, grey, 228 - grey])),
        "12 MP photo JPEG": photo.getvalue(),
    }


def speed() -> None:
    """Processor time of `read_digit` alone, one thread."""
    for name, encoded in timed_pictures().items():
        took = []
        started = time.perf_counter()
        while time.perf_counter() - started < 2:
            before = time.thread_time()
            read_digit(encoded)
            took.append(time.thread_time() - before)
        median, best = statistics.median(took) * 1e6, min(took) * 1e6
        print(f"{name:52} {median:9.0f} us (best {best:.0f})")


def main() -> None:
    """Print the whole table."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--model", type=Path, default=ROOT / "models/digits/1/model.onnx")
    arguments.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    arguments.add_argument("--quick", action="store_true", help="leave out the 70,000 of MNIST")
    chosen = arguments.parse_args()
    reader = Reader(chosen.model)
    people, pens = reader.answers(drawn(chosen.data)), reader.answers(hwd(chosen.data))
    drawn_table(people)
    row("hwd-1000, first half", pens)
    failures(people + pens)
    if not chosen.quick:
        mnist_table(reader, chosen.data)
    speed()


if __name__ == "__main__":
    main()
