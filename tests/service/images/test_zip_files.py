"""Zip files of pictures over HTTP: as the body, among the files of a form, whole and hostile."""

import io
import struct
import zipfile
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.settings.settings import Settings
from tests.service.api.test_pictures import encoded, seven
from tests.waiting import wait_until

SEVEN = encoded(seven())


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def post(client: TestClient, body: bytes, media: str = "application/zip") -> Any:
    return client.post("/v1/digits/predict", content=body, headers={"content-type": media})


@pytest.mark.parametrize("media", ["application/zip", "application/x-zip-compressed"])
def test_a_zip_file_is_a_list_of_its_pictures_in_order(client: TestClient, media: str) -> None:
    """In whatever folders; the answer to each is that to the picture alone."""
    body = zipped({"b.png": SEVEN, "folder/": b"", "folder/deep/a.png": encoded(255 - seven(90))})
    answers = post(client, body, media).json()
    assert [answer["file"] for answer in answers] == ["b.png", "folder/deep/a.png"]
    alone = post(client, SEVEN, "image/png").json()
    assert answers[0] == alone | {"file": "b.png"}


def test_a_zip_file_of_one_picture_is_a_list_of_one(client: TestClient) -> None:
    """The form of the answer follows from what was sent, not from how much was in it."""
    assert [answer["file"] for answer in post(client, zipped({"a.png": SEVEN})).json()] == ["a.png"]


def test_zip_files_and_pictures_mix_in_a_form(client: TestClient) -> None:
    """An entry of a zip file is named by the zip file and itself."""
    files: list[tuple[str, Any]] = [
        ("file", ("one.png", SEVEN)),
        ("file", ("many.zip", zipped({"x/a.png": SEVEN, "b.png": SEVEN}))),
        ("file", ("last.png", SEVEN)),
    ]
    answers = client.post("/v1/digits/predict", files=files).json()
    names = ["one.png", "many.zip/x/a.png", "many.zip/b.png", "last.png"]
    assert [answer["file"] for answer in answers] == names
    only = client.post("/v1/digits/predict", files=files[1:2]).json()
    assert [answer["file"] for answer in only] == names[1:3]


def test_more_pictures_than_are_read_at_a_time_stay_in_order(client: TestClient) -> None:
    """Blank ones among them have their problem in their place."""
    blank = encoded(seven()[:10])
    body = zipped({f"{i}.png": blank if i % 7 == 3 else SEVEN for i in range(50)})
    answers = post(client, body).json()
    assert [answer["file"] for answer in answers] == [f"{i}.png" for i in range(50)]
    assert [i for i, answer in enumerate(answers) if "error" in answer] == list(range(3, 50, 7))


def test_what_systems_add_to_a_zip_file_is_left_out(client: TestClient) -> None:
    """Nobody drew a digit in .DS_Store."""
    added = ["__MACOSX/._a.png", ".DS_Store", "folder/.DS_Store", "folder/Thumbs.db"]
    answers = post(client, zipped({"a.png": SEVEN} | dict.fromkeys(added, b"x"))).json()
    assert [answer["file"] for answer in answers] == ["a.png"]


def test_entries_that_are_no_pictures_spoil_nothing(client: TestClient) -> None:
    """Text, another zip file, nothing at all: a problem each, in its place."""
    bad = {"readme.txt": b"hello", "inner.zip": zipped({"a.png": SEVEN}), "empty.png": b""}
    answers = post(client, zipped({"a.png": SEVEN} | bad | {"z.png": SEVEN})).json()
    assert [answer.get("error", {}).get("status") for answer in answers] == [
        None,
        422,
        422,
        422,
        None,
    ]


@pytest.mark.parametrize("name", ["../../etc/passwd.png", "/root/a.png", "C:\\a.png", "ä/7.png"])
def test_names_are_only_names(client: TestClient, name: str) -> None:
    """Nothing is ever written to disk; whatever an entry is called comes back."""
    (answer,) = post(client, zipped({name: SEVEN})).json()
    assert answer["file"] == name
    assert "digit" in answer


def test_an_entry_without_a_name_is_a_picture(client: TestClient) -> None:
    """Python's own test for a folder fails on it."""
    body = zipped({"nameless": SEVEN}).replace(b"nameless", bytes(8))
    (answer,) = post(client, body).json()
    assert answer["file"] == ""
    assert "digit" in answer


def test_an_encrypted_entry_says_so(client: TestClient) -> None:
    """Also one packed in a way that is not unpacked here."""
    body = bytearray(zipped({"a.png": SEVEN}))
    at = body.rfind(b"PK\x01\x02")
    body[at + 8] |= 1  # the flag of encryption, in the table of contents
    (answer,) = post(client, bytes(body)).json()
    assert "encrypted" in answer["error"]["detail"]
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        (answer,) = post(client, zipped({"a.png": SEVEN}, method)).json()
        assert "expected stored or deflated" in answer["error"]["detail"]


def test_a_damaged_entry_spoils_nothing(client: TestClient) -> None:
    """Its checksum tells; the entry beside it is answered."""
    body = bytearray(zipped({"a.png": SEVEN, "b.png": SEVEN}, zipfile.ZIP_STORED))
    body[60] ^= 255
    first, second = post(client, bytes(body)).json()
    assert "damaged" in first["error"]["detail"]
    assert "digit" in second


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.95])
def test_a_zip_file_cut_off_is_refused(client: TestClient, keep: float) -> None:
    """Its table of contents is at the end."""
    whole = zipped({"a.png": SEVEN})
    answer = post(client, whole[: int(len(whole) * keep)])
    assert answer.status_code == 400
    assert "not a zip file" in answer.json()["detail"]


@pytest.mark.parametrize("files", [{}, {"folder/": b"", ".DS_Store": b"x"}])
def test_a_zip_file_without_pictures_is_refused(
    client: TestClient, files: dict[str, bytes]
) -> None:
    """An empty list would look like an answer."""
    for answer in (
        post(client, zipped(files)),
        client.post("/v1/digits/predict", files={"file": ("e.zip", zipped(files))}),
    ):
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["expected"] == "one or more pictures in the zip file"


def test_more_pictures_than_the_limit_are_refused(client: TestClient) -> None:
    """In one zip file, and in a form with one."""
    full = zipped({f"{i}.png": b"x" for i in range(256)})
    assert post(client, full).status_code == 200
    over = post(client, zipped({f"{i}.png": b"x" for i in range(257)}))
    files: list[tuple[str, Any]] = [("file", ("a.png", SEVEN)), ("file", ("b.zip", full))]
    for answer in (over, client.post("/v1/digits/predict", files=files)):
        assert answer.status_code == 400
        assert "257 pictures were sent, the limit is 256" in answer.json()["detail"]


def test_a_zip_bomb_is_refused_by_its_table_of_contents(client: TestClient) -> None:
    """40 MB of zeros, packed into 40 KB; also as the sum of several."""
    bomb = zipped({"a.png": bytes(40 * 2**20)})
    assert len(bomb) < 50_000
    half = zipped({"a.png": bytes(20 * 2**20)})
    files: list[tuple[str, Any]] = [("file", ("1.zip", half)), ("file", ("2.zip", half))]
    for answer in (post(client, bomb), client.post("/v1/digits/predict", files=files)):
        assert answer.status_code == 413
        assert "41,943,040 bytes unpacked" in answer.json()["detail"]
        assert "33,554,432 of FORETELL_MAX_BODY_BYTES" in answer.json()["detail"]


def test_a_bomb_that_lies_about_its_size_is_unpacked_no_further_than_it_says(
    client: TestClient,
) -> None:
    """A header of 100 bytes over 40 MB: a damaged entry."""
    body = bytearray(zipped({"a.png": bytes(40 * 2**20)}))
    at = body.rfind(b"PK\x01\x02")
    struct.pack_into("<I", body, at + 24, 100)
    (answer,) = post(client, bytes(body)).json()
    assert "damaged" in answer["error"]["detail"]


def test_a_vast_table_of_contents_is_not_read(client: TestClient) -> None:
    """Entries cost time before they can be counted."""
    body = zipped({f"{i:0200}": b"" for i in range(5_000)})
    answer = post(client, body)
    assert answer.status_code == 400
    assert "table of contents" in answer.json()["detail"]
    small = zipped({"a.png": SEVEN})
    files: list[tuple[str, Any]] = [("file", ("a.zip", small))] * 9
    answer = client.post("/v1/digits/predict", files=files)
    assert answer.status_code == 400
    assert "9 zip files were sent, the limit is 8" in answer.json()["detail"]


def test_zip_files_are_documented_and_read_by_every_picture_route(client: TestClient) -> None:
    """Garments, too."""
    paths = client.get("/openapi.json").json()["paths"]
    for task in ("digits", "fashion"):
        body = paths[f"/v1/{task}/predict"]["post"]["requestBody"]["content"]
        assert "application/zip" in body
    answer = client.post(
        "/v1/fashion/predict",
        content=zipped({"shirt.png": SEVEN}),
        headers={"content-type": "application/zip"},
    )
    assert [item["file"] for item in answer.json()] == ["shirt.png"]


def test_the_limit_is_the_services_own(models_dir: Any) -> None:
    """FORETELL_MAX_PICTURES counts what is in zip files."""
    settings = Settings(models_dir=models_dir, device="cpu", max_pictures=1)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        assert post(client, zipped({"a.png": SEVEN})).status_code == 200
        assert post(client, zipped({"a.png": SEVEN, "b.png": SEVEN})).status_code == 400
