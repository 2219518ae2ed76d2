"""Garments: pictures as shops show them, in the form of Fashion-MNIST, and their answers."""

import gzip
import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

from service.errors import BlankImage, ImageTooLarge, UnreadableImage
from service.images.pixels.garment import read_garment
from service.tasks.fashion import LABELS

Picture = NDArray[np.uint8]


def encoded(picture: Picture, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


def shirt(height: int = 400, width: int = 300, background: int = 255, cloth: int = 60) -> Picture:
    """A T-shirt on a plain background, with a margin of a tenth of the height above and below."""
    picture = np.full((height, width), background, np.uint8)
    unit, middle = height / 10, width / 2
    half = np.array([[0.8, 1], [3, 2], [3, 4.5], [2, 4.5], [2, 9]]) * unit
    outline = np.concatenate([half, half[::-1] * (-1, 1)]) + np.array([middle, 0])
    cv2.fillPoly(picture, [outline.round().astype(np.int32)], cloth)
    return picture


def box(picture: Picture) -> tuple[int, int, int, int]:
    """Left, top, width and height of what is not background."""
    left, top, width, height = cv2.boundingRect((picture > 13).astype(np.uint8))
    return left, top, width, height


@pytest.fixture(scope="module")
def published(copies: Path) -> Picture:
    """A thousand of Fashion-MNIST's test pictures."""
    packed = (copies / "fashion-mnist" / "t10k-images-idx3-ubyte.gz").read_bytes()
    return np.frombuffer(gzip.decompress(packed), np.uint8, offset=16).reshape(-1, 28, 28)[:1_000]


# The reader


def test_a_picture_of_the_data_set_comes_through_unchanged(published: Picture) -> None:
    """Saved as PNG, and as the negative that the shop had: every pixel is what it was."""
    for image in published:
        np.testing.assert_array_equal(read_garment(encoded(image)), image)
        np.testing.assert_array_equal(read_garment(encoded(255 - image)), image)


def test_a_picture_of_the_data_set_enlarged_comes_back_as_it_was(published: Picture) -> None:
    """Four times as large: pixel for pixel but for the few that do not fill their square."""
    for image in published[:100]:
        large = np.repeat(np.repeat(255 - image, 4, axis=0), 4, axis=1)
        np.testing.assert_allclose(read_garment(encoded(large)), image, atol=1)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("background", [255, 240, 20, 0])
def test_a_garment_is_light_on_black_whatever_the_background(background: int, kind: str) -> None:
    """Light backgrounds are inverted, dark ones are not; what is around it becomes 0."""
    garment = read_garment(encoded(shirt(background=background, cloth=130), kind))
    assert garment.shape == (28, 28)
    assert garment.dtype == np.uint8
    assert garment[0, 0] == garment[0, -1] == garment[-1, 0] == garment[-1, -1] == 0
    assert garment[14, 14] == pytest.approx(abs(130 - background), abs=3)  # JPEG is not exact


@pytest.mark.parametrize(("height", "width"), [(400, 300), (1600, 1700), (200, 900)])
def test_the_longest_side_fills_28_pixels_and_the_aspect_stays(height: int, width: int) -> None:
    """A margin is trimmed; the short side is padded to both sides."""
    garment = read_garment(encoded(shirt(height, width)))
    left, top, across, down = box(garment)
    assert (top, down) == (0, 28)
    assert across == pytest.approx(28 * 6 / 8, abs=1)  # the shirt is 6 wide and 8 high
    assert abs(left - (28 - across) / 2) <= 1


def test_a_small_picture_is_enlarged() -> None:
    """Fewer pixels than 28 are no reason to refuse."""
    assert box(read_garment(encoded(shirt(20, 15))))[3] == 28


def test_a_light_garment_that_covers_most_of_the_border_stays_light() -> None:
    """The corners tell the background: a bag touches all four sides of a picture."""
    bag = np.full((28, 28), 200, np.uint8)
    bag[:2, :2] = bag[:2, -2:] = bag[-2:, :2] = bag[-2:, -2:] = 0
    np.testing.assert_array_equal(read_garment(encoded(bag)), bag)


def test_transparent_is_white() -> None:
    """A garment cut out by a shop is read as it looks on a white page."""
    picture = shirt()
    cut_out = np.dstack([picture] * 3 + [np.where(picture < 255, 255, 0).astype(np.uint8)])
    cut_out[picture == 255, :3] = 0  # what lies under alpha 0 is not to be seen
    np.testing.assert_array_equal(read_garment(encoded(cut_out)), read_garment(encoded(picture)))


def test_colour_becomes_brightness() -> None:
    """Red and green cloth differ as their luminances do."""
    picture = np.dstack([shirt()] * 3)
    cloth = picture[..., 0] < 255
    picture[cloth] = (200, 0, 0)
    red = read_garment(encoded(picture))
    picture[cloth] = (0, 200, 0)
    green = read_garment(encoded(picture))
    assert red[14, 14] == pytest.approx(255 - 0.299 * 200, abs=2)
    assert green[14, 14] == pytest.approx(255 - 0.587 * 200, abs=2)


def test_the_cameras_turn_is_undone() -> None:
    """A picture that EXIF calls turned is read as people see it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(np.ascontiguousarray(np.rot90(shirt())), exif=exif)
    np.testing.assert_array_equal(read_garment(turned), read_garment(encoded(shirt())))


@pytest.mark.parametrize(
    "picture",
    [
        np.full((300, 200), 250, np.uint8),
        np.zeros((28, 28), np.uint8),
        shirt(cloth=250),
        np.zeros((50, 50, 4), np.uint8),
    ],
    ids=["white page", "black 28x28", "white on white", "transparent"],
)
def test_nothing_to_see_is_blank(picture: Picture) -> None:
    """An error, not a guess."""
    with pytest.raises(BlankImage, match="nothing stands out from the background"):
        read_garment(encoded(picture))


def test_damaged_and_huge_pictures_are_refused_as_for_digits() -> None:
    """The decoder is the same, and so are its limits."""
    with pytest.raises(UnreadableImage):
        read_garment(encoded(shirt())[:200])
    with pytest.raises(ImageTooLarge):
        read_garment(encoded(shirt()), max_pixels=1_000)


# The route


def test_the_answer_names_the_garment(client: TestClient) -> None:
    """The test model answers the brightest of ten bands of rows; its name comes by the labels."""
    pixels = np.zeros((28, 28), int)
    pixels[26:] = 255
    body = client.post("/v1/fashion/predict", json={"pixels": pixels.tolist()}).json()
    assert body["garment"] == "Ankle boot" == LABELS[int(np.argmax(body["probabilities"]))]
    assert body["probability"] == max(body["probabilities"])
    assert len(body["probabilities"]) == 10
    assert body["model"] == {"name": "fashion", "version": "1"}


def test_uploads_are_answered_in_order_and_a_blank_one_in_its_place(client: TestClient) -> None:
    """One picture is answered by body or form, several with their file names, as digits are."""
    picture = encoded(shirt())
    by_body = client.post(
        "/v1/fashion/predict", content=picture, headers={"content-type": "image/png"}
    ).json()
    blank = encoded(np.full((40, 40), 255, np.uint8))
    files: list[tuple[str, Any]] = [("file", ("a.png", picture)), ("file", ("b.png", blank))]
    first, second = client.post("/v1/fashion/predict", files=files).json()
    assert first == by_body | {"file": "a.png"}
    assert second["file"] == "b.png"
    assert second["error"]["status"] == 422


def test_the_documentation_lists_the_garments(client: TestClient) -> None:
    """A caller can read off what may be answered, in the order of the probabilities."""
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["GarmentPrediction"]["properties"]["garment"]["enum"] == list(LABELS)
    assert client.get("/v1/models/fashion").json()["card"]["contract"]["labels"] == list(LABELS)
