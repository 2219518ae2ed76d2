"""Accuracy on digits drawn by people, from the same bytes that a caller would upload.

    python benchmarks/pictures.py --model models/digits/1/model.onnx --data ../shared/data

Prints accuracy on `drawn/` (by half, kind and background), `hwd-1000/` and the MNIST test set saved
as PNG and JPEG, as dark on light and at 4 times the size; every failure; and the time it takes.

The people of `drawn/` are split in halves by a fixed rule, `half` below. service/images/pixels was
tuned on the pictures of one half only, so the other half estimates accuracy on new people.
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

from service.errors import PictureError  # noqa: E402  after sys.path was set
from service.images.pixels import read_digit  # noqa: E402

BATCH = 500


@dataclass(frozen=True)
class Sample:
    """An encoded picture, the digit on it, and the attributes that the table groups by."""

    name: str
    encoded: bytes
    label: int
    half: str = ""
    kind: str = ""
    background: str = ""


@dataclass(frozen=True)
class Answer:
    """The digit that was read (-1 and the reason if it was refused) and its probability."""

    sample: Sample
    digit: int
    probability: float
    refused: str = ""

    @property
    def right(self) -> bool:
        """True if the digit that was read is the one that was drawn."""
        return self.digit == self.sample.label


def half(person: str) -> str:
    """Return the half: `tune` if the name's SHA-256 begins with an even byte, else `report`."""
    return "report" if hashlib.sha256(person.encode()).digest()[0] % 2 else "tune"


def drawn(data: Path) -> list[Sample]:
    """Return the digits that people drew or photographed to try their own networks."""
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
    """Return the 28x28 digits in black pen; the first character of a file's name is its label."""
    files = sorted((data / "hwd-1000").glob("*.png"))
    return [Sample(file.name, file.read_bytes(), int(file.name[0])) for file in files]


def mnist_test(data: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the 10,000 test pictures, uint8[10000, 28, 28], and their labels."""
    packed = [data / "mnist" / f"t10k-{name}-ubyte.gz" for name in ("images-idx3", "labels-idx1")]
    images, labels = (gzip.decompress(file.read_bytes()) for file in packed)
    pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28)
    return pixels, np.frombuffer(labels, np.uint8, offset=8)


def png(picture: NDArray[np.uint8]) -> bytes:
    """Return a PNG of a picture, encoded quickly rather than small."""
    file = BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=1)
    return file.getvalue()


def enlarged(image: NDArray[np.uint8], how: int) -> NDArray[np.uint8]:
    """Return a picture four times as high and wide; `how` is OpenCV's interpolation."""
    return np.asarray(cv2.resize(image, None, fx=4, fy=4, interpolation=how), dtype=np.uint8)


def jpeg(picture: NDArray[np.uint8]) -> bytes:
    """Return a JPEG of quality 85, as a browser or a scanner would write."""
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


class DigitsModel:
    """The digits model in an ONNX Runtime session of one thread."""

    def __init__(self, model: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return float32[N, 10] probabilities of uint8[N, 28, 28] pictures."""
        batches = [images[at : at + BATCH] for at in range(0, len(images), BATCH)]
        answers = [self.session.run(["probabilities"], {"image": batch})[0] for batch in batches]
        return np.concatenate([np.asarray(answer, np.float32) for answer in answers])

    def answers(self, samples: Iterable[Sample]) -> list[Answer]:
        """Decode every sample as an upload would be and answer it."""
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
    """Print a line of the table."""
    if answers:
        right = sum(answer.right for answer in answers)
        print(f"{name:52} {right:6} / {len(answers):<6} {100 * right / len(answers):7.2f} %")


def drawn_table(answers: list[Answer]) -> None:
    """Print the accuracy on all, by half of the people, by kind and by background."""
    row("drawn, all", answers)
    for part in ("tune", "report"):
        row(f"drawn, {part} people", [a for a in answers if a.sample.half == part])
    photos = [a for a in answers if "photo" in a.sample.kind]
    row("drawn, anything photographed", photos)
    for field in ("kind", "background"):
        for value in sorted({getattr(a.sample, field) for a in answers}):
            row(f"    {value}", [a for a in answers if getattr(a.sample, field) == value])


def failures(answers: list[Answer]) -> None:
    """Print each picture that was read wrongly: file, label, the digit read, its probability."""
    for a in answers:
        if not a.right:
            read = f"refused: {a.refused}" if a.refused else f"{a.digit} ({a.probability:.3f})"
            print(f"    {a.sample.half:6} {a.sample.name:48} label {a.sample.label} read {read}")


def mnist_table(model: DigitsModel, data: Path) -> None:
    """Print the accuracy on the test set as arrays, then as the bytes of each variant."""
    images, labels = mnist_test(data)
    alone = 100 * float((model.probabilities(images).argmax(axis=1) == labels).mean())
    print(f"{'MNIST test, straight into the model':52} {alone:25.2f} %")
    for name, variant in VARIANTS.items():
        samples = (
            Sample(str(i), variant(image), int(label))
            for i, (image, label) in enumerate(zip(images, labels, strict=True))
        )
        row(f"MNIST test, {name}", model.answers(samples))


def canvas(height: int, width: int, pen: int, noise: float) -> NDArray[np.uint8]:
    """Return a picture of a 3 on a sheet, of which decoding is timed."""
    sheet = np.full((height, width, 3), 228, np.uint8)
    unit = min(height, width) / 280
    for y, start, stop in ((105, 180, 400), (175, -90, 150)):
        centre, axes = (int(140 * unit), int(y * unit)), (int(45 * unit), int(36 * unit))
        cv2.ellipse(sheet, centre, axes, 0, start, stop, (40, 40, 70), pen, cv2.LINE_AA)
    spread = np.random.default_rng(0).normal(0, noise, sheet.shape) if noise else 0
    return np.asarray(np.clip(sheet + spread, 0, 255), dtype=np.uint8)


def timed_pictures() -> dict[str, bytes]:
    """Return the pictures that are timed: a browser's canvas, others, and a phone's photo."""
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
    """Print the processor time of `read_digit` by itself, on one thread."""
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
    arguments.add_argument(
        "--quick", action="store_true", help="leave out the 70,000 pictures made from MNIST"
    )
    chosen = arguments.parse_args()
    model = DigitsModel(chosen.model)
    people, pens = model.answers(drawn(chosen.data)), model.answers(hwd(chosen.data))
    drawn_table(people)
    row("hwd-1000, first half", pens)
    failures(people + pens)
    if not chosen.quick:
        mnist_table(model, chosen.data)
    speed()


if __name__ == "__main__":
    main()
