"""Pictures over HTTP: by upload, as the body, as pixels."""

import io
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

from service.api.app import create_app
from service.images.decoders.pool import DecoderPool
from service.settings.settings import Settings
from tests.waiting import wait_until


def seven(size: int = 200) -> NDArray[np.uint8]:
    """A 7 drawn in black on white."""
    picture = np.full((size, size), 255, np.uint8)
    points = np.array([[0.25, 0.2], [0.75, 0.2], [0.45, 0.85]]) * size
    cv2.polylines(picture, [points.astype(np.int32)], False, 0, size // 14, cv2.LINE_AA)
    return picture


def encoded(picture: NDArray[np.uint8], kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_the_picture_itself_may_be_the_body(client: TestClient, kind: str) -> None:
    """One answer with ten probabilities, and the digit is the likeliest."""
    answer = client.post(
        "/v1/digits/predict",
        content=encoded(seven(), kind),
        headers={"content-type": f"image/{kind.lower()}"},
    )
    assert answer.status_code == 200
    body = answer.json()
    assert body["digit"] == int(np.argmax(body["probabilities"]))
    assert body["probability"] == max(body["probabilities"])
    assert sum(body["probabilities"]) == pytest.approx(1, abs=1e-5)
    assert body["model"] == {"name": "digits", "version": "1"}


def test_one_file_of_a_form_gives_one_answer(client: TestClient) -> None:
    """The same picture by form and by body has the same answer."""
    picture = encoded(seven())
    by_form = client.post("/v1/digits/predict", files={"file": ("seven.png", picture)})
    by_body = client.post(
        "/v1/digits/predict", content=picture, headers={"content-type": "image/png"}
    )
    assert by_form.json() == by_body.json()


def test_many_files_are_answered_in_order_and_a_bad_one_spoils_nothing(client: TestClient) -> None:
    """Answers carry their file's name; in the place of an unreadable one stands its problem."""
    files: list[tuple[str, Any]] = [
        ("file", ("a.png", encoded(seven()))),
        ("file", ("b.png", b"not a picture")),
        ("file", ("c.png", encoded(np.full((50, 50), 255, np.uint8)))),
        ("file", ("d.png", encoded(255 - seven(90)))),
    ]
    answers = client.post("/v1/digits/predict", files=files).json()
    assert [a["file"] for a in answers] == ["a.png", "b.png", "c.png", "d.png"]
    assert [a.get("error", {}).get("status") for a in answers] == [None, 422, 422, None]
    assert answers[0]["digit"] == answers[3]["digit"]


def test_pixels_reach_the_network_unchanged(client: TestClient) -> None:
    """JSON pixels pass no preprocessing: the test model answers the brightest band of rows."""
    pixels = np.zeros((28, 28), int)
    pixels[20:22] = 255  # band 7 of the test model starts at pixel 546, in row 19.5
    answer = client.post("/v1/digits/predict", json={"pixels": pixels.tolist()})
    assert answer.json()["digit"] == 7


def test_a_model_that_is_slow_answers_pictures_as_it_answers_rows(
    models_dir: Path, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read on one thread, answered on another: in order, and each problem in its place."""
    monkeypatch.setattr("service.models.runtime.loaded.MAX_EVENT_LOOP_US", -1.0)
    pictures = [encoded(seven(60 + i)) for i in range(40)]
    pictures[3] = pictures[20] = b"no picture"
    files: list[tuple[str, Any]] = [("file", (f"{i}.png", p)) for i, p in enumerate(pictures)]
    settings = Settings(models_dir=models_dir, device="cpu")
    with TestClient(create_app(settings), raise_server_exceptions=False) as other:
        wait_until(lambda: other.get("/readyz").status_code == 200)
        slow = other.post("/v1/digits/predict", files=files).json()
    monkeypatch.undo()
    quick = client.post("/v1/digits/predict", files=files).json()
    for answer in slow + quick:
        answer.get("error", {}).pop("request_id", None)
    assert slow == quick


def test_other_models_answer_while_pictures_are_read(client: TestClient) -> None:
    """With every process that reads pictures stopped, heart is answered, and then the picture."""
    picture = encoded(seven())
    client.post("/v1/digits/predict", files={"file": ("a.png", picture)})
    decoders: DecoderPool = client.app.state.pools.decoders  # type: ignore[attr-defined]
    for pid in decoders.pids:
        os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as caller:
        waiting = caller.submit(
            client.post, "/v1/digits/predict", files={"file": ("a.png", picture)}
        )
        heart = client.post("/v1/heart/predict", json={"age": 57, "sex": 1, "cp": 4})
        assert heart.status_code == 200
        assert not waiting.done()
        for pid in decoders.pids:
            os.kill(pid, signal.SIGCONT)
        assert waiting.result(60).status_code == 200


def test_without_a_process_that_reads_pictures_are_refused_and_rows_are_not(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 with the reason and when to come back; the service is not ready, and metrics say so."""
    monkeypatch.setattr(sys, "executable", "/none/python")
    app = create_app(Settings(models_dir=models_dir, device="cpu"))
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        refused = client.post("/v1/digits/predict", files={"file": ("a.png", encoded(seven()))})
        row = {"age": 57, "sex": 1, "cp": 4}
        assert client.post("/v1/heart/predict", json=row).status_code == 200
        ready = client.get("/readyz")
        metrics = client.get("/metrics").text
    assert ready.status_code == 503
    assert "no process that reads pictures can be started" in ready.json()["reasons"]["pictures"]
    assert "\nforetell_decoders_down 1.0\n" in metrics
    assert '\nforetell_decoder_rejected_pictures_total{reason="unavailable"} 1.0\n' in metrics
    assert "\nforetell_ready 0.0\n" in metrics
    assert refused.status_code == 503
    assert "no process that reads pictures can be started" in refused.json()["detail"]
    assert "Retry-After" in refused.headers


BAD_PIXELS: list[tuple[Any, str]] = [
    ({"pixels": [[0] * 28] * 27}, "pixels"),
    ({"pixels": [[0] * 27] + [[0] * 28] * 27}, "pixels.0"),
    ({"pixels": [[256] + [0] * 27] + [[0] * 28] * 27}, "pixels.0.0"),
    ({"pixels": [["1"] + [0] * 27] + [[0] * 28] * 27}, "pixels.0.0"),
    ({"pixel": []}, "pixels"),
    ({}, "pixels"),
]


@pytest.mark.parametrize(("body", "field"), BAD_PIXELS)
def test_bad_pixels_are_named(client: TestClient, body: Any, field: str) -> None:
    """The place of the first wrong pixel is in the errors."""
    answer = client.post("/v1/digits/predict", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


def test_thousands_of_bad_pixels_make_a_short_answer(client: TestClient) -> None:
    """The first hundred problems are listed, and how many there are is said."""
    answer = client.post("/v1/digits/predict", json={"pixels": [[-1] * 28] * 28})
    assert len(answer.json()["errors"]) == 100
    assert "784 problems" in answer.json()["detail"]


@pytest.mark.parametrize("pixels", [[[0] * 28] * 28, [[255] * 28] * 28])
def test_blank_pixels_are_no_digit(client: TestClient, pixels: Any) -> None:
    """Nothing to see is said, not guessed."""
    answer = client.post("/v1/digits/predict", json={"pixels": pixels})
    assert answer.status_code == 422
    assert "nothing is drawn" in answer.json()["detail"]


def test_blank_picture_is_no_digit(client: TestClient) -> None:
    """A white page is a 422."""
    page = encoded(np.full((300, 200), 250, np.uint8))
    answer = client.post("/v1/digits/predict", files={"file": ("page.png", page)})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_decompression_bomb_is_413(client: TestClient) -> None:
    """A small file that announces 400 million pixels is refused before it is decoded."""
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    assert len(buffer.getvalue()) < 100_000
    answer = client.post("/v1/digits/predict", files={"file": ("bomb.png", buffer.getvalue())})
    assert answer.status_code == 413
    assert "400,000,000 pixels" in answer.json()["detail"]


@pytest.mark.parametrize("media", [None, "text/plain", "image/tiff", "application/pdf"])
def test_another_content_type_is_415(client: TestClient, media: str | None) -> None:
    """The answer lists what is read."""
    headers = {} if media is None else {"content-type": media}
    answer = client.post("/v1/digits/predict", content=b"x", headers=headers)
    assert answer.status_code == 415
    assert "image/png" in answer.json()["detail"]


FORMS: list[tuple[dict[str, Any], str]] = [
    ({"files": {"picture": ("a.png", b"x")}}, "picture"),
    ({"data": {"file": "text"}, "files": {"other": ("a", b"x")}}, "file"),
]


@pytest.mark.parametrize(("form", "field"), FORMS)
def test_a_form_without_pictures_says_where_they_go(
    client: TestClient, form: dict[str, Any], field: str
) -> None:
    """Pictures go into parts named `file`, with a file name."""
    answer = client.post("/v1/digits/predict", **form)
    assert answer.status_code == 422
    assert field in [error["field"] for error in answer.json()["errors"]]


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "multipart/form-data"},
        {"content-type": "multipart/form-data; boundary=x"},
    ],
)
def test_a_broken_form_is_refused(client: TestClient, headers: dict[str, str]) -> None:
    """No boundary, or a body that has none: a problem, never a 500."""
    answer = client.post("/v1/digits/predict", content=b"garbage", headers=headers)
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"


def test_more_pictures_than_the_limit_are_refused(client: TestClient) -> None:
    """The limit is named."""
    files: list[tuple[str, Any]] = [("file", ("a.png", b"x"))] * 257
    answer = client.post("/v1/digits/predict", files=files)
    assert answer.status_code == 400
    assert "256" in answer.json()["detail"]


def test_a_form_cut_off_is_refused(client: TestClient) -> None:
    """Half a picture would be called damaged, and a form without its end might lack pictures."""
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    whole = part + encoded(seven()) + b"\r\n--x--\r\n"
    headers = {"content-type": "multipart/form-data; boundary=x"}
    assert client.post("/v1/digits/predict", content=whole, headers=headers).status_code == 200
    for body in (whole[:-8], whole[:200], part[:30], b""):
        answer = client.post("/v1/digits/predict", content=body, headers=headers)
        assert answer.status_code == 400


def test_a_part_without_a_name_is_refused(client: TestClient) -> None:
    """A form's parts have names (RFC 7578)."""
    body = b"--x\r\nContent-Type: image/png\r\n\r\nabc\r\n--x--\r\n"
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = client.post("/v1/digits/predict", content=body, headers=headers)
    assert answer.status_code == 400
    assert "name" in answer.json()["detail"]


def test_names_of_files_come_back_as_they_were_sent(client: TestClient) -> None:
    """In UTF-8, or where that fails in Latin-1."""
    picture = encoded(seven())
    body = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n\r\n%s\r\n'
        % (name, picture)
        for name in ("zwölf.png".encode(), "zwölf.png".encode("latin-1"))
    )
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answers = client.post("/v1/digits/predict", content=body + b"--x--\r\n", headers=headers)
    assert [answer["file"] for answer in answers.json()] == ["zwölf.png"] * 2


def test_a_process_that_reads_and_dies_is_replaced_and_counted(client: TestClient) -> None:
    """Nobody notices, but for /metrics."""

    def died() -> float:
        lines = client.get("/metrics").text.splitlines()
        name = "foretell_decoder_restarts_total "
        return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))

    picture = encoded(seven())
    first = client.post("/v1/digits/predict", files={"file": ("a.png", picture)})
    before = died()
    decoders: DecoderPool = client.app.state.pools.decoders  # type: ignore[attr-defined]
    os.kill(decoders.pids[0], signal.SIGKILL)
    again = client.post("/v1/digits/predict", files={"file": ("a.png", picture)})
    assert again.json() == first.json()
    assert died() == before + 1
