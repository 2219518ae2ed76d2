"""A digit drawn on a canvas, uploaded by a form, in Foretell and LitServe with the same decoding.

python -m benchmarks.canvas [--rounds 3] [--seconds 3]
"""

import argparse
from pathlib import Path

import onnxruntime as ort

from benchmarks.contenders import FORETELL_PICTURES, LITSERVE_PICTURES
from benchmarks.environments import packages
from benchmarks.result import write_result
from benchmarks.rounds import MANY, Question, compare, medians
from benchmarks.single_row import contender_table, speed_table
from service.images.pixels import read_digit
from service.models.artifacts.artifact import read_artifact
from service.settings.settings import Settings
from training.markdown import markdown

BOUNDARY = "canvas"
ENTERED = (FORETELL_PICTURES, LITSERVE_PICTURES)


def canvas() -> bytes:
    """Return a PNG of a 3 in black ink, 18 pixels wide, on a transparent canvas of 280×280.

    canvas.html draws it and Chromium 150 encoded it. The encoder matters: zlib takes several times
    as long to unpack the empty part of a PNG that OpenCV has encoded.
    """
    return (Path(__file__).parent / "canvas.png").read_bytes()


def form(picture: bytes) -> bytes:
    """Return a body of multipart/form-data that holds the one file."""
    head = 'Content-Disposition: form-data; name="file"; filename="canvas.png"'
    opening = f"--{BOUNDARY}\r\n{head}\r\nContent-Type: image/png\r\n\r\n"
    return opening.encode() + picture + f"\r\n--{BOUNDARY}--\r\n".encode()


def question() -> Question:
    """Return the form, and the probability that ONNX Runtime gives for its decoded picture."""
    picture = canvas()
    model = read_artifact(Settings().models_dir, "digits").model
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    got = session.run(["probabilities"], {"image": read_digit(picture)[None]})[0][0]
    return Question(form(picture), float(got.max()), f"multipart/form-data; boundary={BOUNDARY}")


def main() -> None:
    """Measure, print, and write results/canvas.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="of each load")
    chosen = parser.parse_args()
    if min(chosen.rounds, chosen.seconds) < 1:
        parser.error("--rounds and --seconds: expected at least 1")
    measured, missing = compare(ENTERED, question(), chosen.rounds, chosen.seconds)
    if FORETELL_PICTURES.name in missing:
        raise SystemExit(f"Foretell: {missing[FORETELL_PICTURES.name]}")
    figures = {name: medians(each) for name, each in measured.items()}
    table = speed_table(figures)
    print(f"\n{markdown(table.head, table.rows)}")
    versions = {each.name: packages(each.python()) for each in ENTERED if each.name in measured}
    write_result(
        "canvas",
        title="One picture",
        command=f"python -m benchmarks.canvas --rounds {chosen.rounds} --seconds {chosen.seconds}",
        notes=[NOTE.format(rounds=chosen.rounds, size=len(canvas()), many=MANY)],
        tables=[table, contender_table(ENTERED, versions, missing)],
        raw={
            "medians": figures,
            "rounds": {name: [one.model_dump() for one in each] for name, each in measured.items()},
            "missing": missing,
        },
    )


NOTE = (
    "A digit drawn on a 280×280 canvas, a PNG of {size} bytes in a multipart form, decoded by "
    "`service.images.pixels` on both sides and answered by the same network with one thread and a "
    "worker, of two processes on each side: LitServe's second takes the calls, Foretell's reads "
    "the pictures. {rounds} rounds, {many} connections and one, as for one row."
)

if __name__ == "__main__":
    main()
