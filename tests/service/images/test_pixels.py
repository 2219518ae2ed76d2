"""Pictures drawn here, or damaged here, and real ones."""

import gzip
import struct
import sys
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from service.errors import BlankImage, ImageTooLarge, PictureError, UnreadableImage
from service.images.pixels import read_digit
from service.images.pixels.decode import (
    MAX_BYTES,
    count_scans,
    decode,
    opaque,
    smaller,
    webp_size,
)
from service.images.pixels.frame import enlarged, surely_thick, thickened
from service.images.pixels.frame import framed as as_mnist
from service.images.pixels.ink import on_any_paper, on_plain_paper
from service.images.pixels.plain import plain_paper

Picture = NDArray[np.uint8]

SEVEN = [(60, 60), (150, 60), (90, 190)]  # x, y of its corners on a 240 x 240 canvas
SHAPES = {
    "7": [SEVEN],
    "4": [[(110, 50), (70, 130), (160, 130)], [(135, 90), (135, 200)]],
    "5 with a detached bar": [
        [(85, 72), (80, 115), (120, 108), (150, 140), (130, 185), (75, 190)],
        [(105, 42), (155, 40)],
    ],
}


def drawn(
    strokes: list[list[tuple[int, int]]] | None = None,
    *,
    ink: tuple[int, ...] = (0, 0, 0),
    paper: tuple[int, ...] = (255, 255, 255),
    pen: int = 12,
    size: int = 240,
) -> Picture:
    picture = np.full((size, size, 3), paper, np.uint8)
    for stroke in strokes or [SEVEN]:
        cv2.polylines(picture, [np.array(stroke, np.int32)], False, ink, pen, cv2.LINE_AA)
    return picture


def encoded(picture: Picture | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(file, kind, **options)
    return file.getvalue()


def alike(one: Picture, other: Picture) -> float:
    """Correlation of two answers at the best shift of a pixel: the centre of mass is rounded."""
    shifts = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    moved = [np.roll(one, shift, (0, 1)).ravel() for shift in shifts]
    return max(float(np.corrcoef(image, other.ravel())[0, 1]) for image in moved)


PLAIN = read_digit(encoded(drawn()))
SAME = 0.95  # the same strokes under other light and pens; another digit is below 0.6


# ---- MNIST's form --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pen", [1, 3, 8, 20])
def test_a_digit_fills_the_20_pixel_box_and_is_centred_by_mass(shape: str, pen: int) -> None:
    """White on black, longest side 20, centre of mass within half a pixel of (14, 14)."""
    digit = read_digit(encoded(drawn(SHAPES[shape], pen=pen)))
    assert digit.shape == (28, 28)
    assert digit.dtype == np.uint8
    _, _, width, height = cv2.boundingRect((digit > 20).astype(np.uint8))
    assert max(width, height) in (19, 20)
    moments = cv2.moments(digit)
    centre = moments["m10"] / moments["m00"] + 0.5, moments["m01"] / moments["m00"] + 0.5
    assert np.abs(np.array(centre) - 14).max() <= 1.0  # the last half: a box stays inside 28x28
    assert digit.max() > 200


def test_a_hair_thin_pen_is_thickened_to_what_mnist_has() -> None:
    """One pixel of 240 would be a grey thread at 28: it comes back at least 1.5 pixels wide."""
    thin = read_digit(encoded(drawn(pen=1)))
    assert thin.sum() / 255 > 1.5 * 25  # ink area over the 25 pixels that this 7's strokes are long


def test_a_detached_bar_of_a_five_stays() -> None:
    """The bar is a part of its own, and part of the digit."""
    whole = read_digit(encoded(drawn(SHAPES["5 with a detached bar"])))
    count = cv2.connectedComponents((whole > 100).astype(np.uint8))[0] - 1
    assert count == 2


# ---- light, paper, pen ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ink", "paper"),
    [
        ((0, 0, 0), (255, 255, 255)),
        ((255, 255, 255), (0, 0, 0)),
        ((30, 40, 150), (200, 198, 190)),
        ((200, 30, 40), (60, 60, 60)),
        ((0, 150, 0), (150, 60, 60)),  # nearly the same luminance
        ((150, 150, 150), (190, 190, 190)),
    ],
)
def test_any_pen_on_any_paper(ink: tuple[int, ...], paper: tuple[int, ...]) -> None:
    """Dark on light, light on dark, colour on colour: the same digit."""
    assert alike(read_digit(encoded(drawn(ink=ink, paper=paper))), PLAIN) > SAME


def under_a_gradient(picture: Picture, rng: np.random.Generator) -> Picture:
    light = np.linspace(0.45, 1, picture.shape[1])[None, :, None]
    return np.asarray(picture * light, dtype=np.uint8)


def under_a_shadow(picture: Picture, rng: np.random.Generator) -> Picture:
    """Half the sheet in a hard-edged shadow that runs through the digit."""
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    light = np.where(rows + 0.4 * columns > 160, 0.6, 1.0)
    light = cv2.GaussianBlur(light, (0, 0), 2)
    return np.asarray(picture * light[..., None], dtype=np.uint8)


def noisy(picture: Picture, rng: np.random.Generator) -> Picture:
    return np.asarray(np.clip(picture + rng.normal(0, 20, picture.shape), 0, 255), dtype=np.uint8)


def speckled(picture: Picture, rng: np.random.Generator) -> Picture:
    for x, y in rng.integers(0, 240, (15, 2)):
        cv2.circle(picture, (int(x), int(y)), 1, (40, 40, 40), -1)
    return picture


def ruled(picture: Picture, rng: np.random.Generator) -> Picture:
    for y in range(20, 240, 34):
        cv2.line(picture, (0, y), (239, y + 2), (30, 30, 60), 1, cv2.LINE_AA)
    return picture


def squared(picture: Picture, rng: np.random.Generator) -> Picture:
    for at in range(12, 240, 30):
        cv2.line(picture, (0, at), (239, at), (150, 160, 190), 1)
        cv2.line(picture, (at, 0), (at, 239), (150, 160, 190), 1)
    return picture


def framed(picture: Picture, rng: np.random.Generator) -> Picture:
    cv2.rectangle(picture, (25, 25), (215, 215), (0, 0, 0), 3)
    return picture


def on_a_dark_table(picture: Picture, rng: np.random.Generator) -> Picture:
    picture[:, :22] = 50
    return picture


def beside_a_neighbour(picture: Picture, rng: np.random.Generator) -> Picture:
    cv2.ellipse(picture, (238, 120), (30, 60), 0, 0, 360, (0, 0, 0), 10)
    return picture


@pytest.mark.parametrize(
    "hardship",
    [
        under_a_gradient,
        under_a_shadow,
        noisy,
        speckled,
        ruled,
        squared,
        framed,
        on_a_dark_table,
        beside_a_neighbour,
    ],
)
def test_what_is_not_the_digit_is_left_out(
    hardship: Callable[[Picture, np.random.Generator], Picture],
) -> None:
    """Light, dirt, printed lines and other people's strokes do not change the answer."""
    spoilt = hardship(drawn(paper=(225, 222, 215)), np.random.default_rng(0))
    assert alike(read_digit(encoded(spoilt, "JPEG", quality=85)), PLAIN) > 0.9


def test_a_small_digit_on_a_large_sheet_gets_a_closer_look() -> None:
    """A twelfth of the sheet is enough: it is cut out of the full picture, not of the reduced."""
    sheet = np.full((1800, 1350, 3), 235, np.uint8)
    sheet[1200:1440, 300:540] = drawn(paper=(235, 235, 235))
    assert alike(read_digit(encoded(sheet, "JPEG")), PLAIN) > SAME


# ---- formats -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_every_format_gives_the_same_digit(kind: str) -> None:
    """The five formats, three of them lossy or of few colours."""
    assert alike(read_digit(encoded(drawn(), kind)), PLAIN) > SAME


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "I;16"])
def test_every_pixel_mode_gives_the_same_digit(mode: str) -> None:
    """Bilevel, grey, palette, with alpha, printers' colours, 16 bits."""
    if mode == "I;16":
        image = Image.fromarray(drawn()[..., 0].astype(np.uint16) * 257)
    else:
        image = Image.fromarray(drawn()).convert(mode)
    kind = "JPEG" if mode == "CMYK" else "PNG"
    assert alike(read_digit(encoded(image, kind)), PLAIN) > SAME


def test_of_an_animation_the_first_frame_counts() -> None:
    """A GIF that goes on with other frames reads as its first."""
    first = Image.fromarray(drawn()).quantize(8)
    other = Image.fromarray(drawn(SHAPES["4"])).quantize(8)
    animation = encoded(first, "GIF", save_all=True, append_images=[other, other])
    assert alike(read_digit(animation), PLAIN) > SAME


def test_a_png_with_one_wrong_byte_among_its_pixels_is_refused() -> None:
    """Wherever it is: half a digit would be answered, or one with other pixels."""
    png = encoded(drawn())
    for at in range(png.index(b"IDAT") + 4, png.index(b"IEND") - 4, 7):
        damaged = bytearray(png)
        damaged[at] ^= 0xFF
        with pytest.raises(UnreadableImage, match="the PNG picture is damaged"):
            read_digit(bytes(damaged))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_camera_is_turned_back(orientation: int) -> None:
    """EXIF orientation 1..8: stored turned, read upright."""
    upright = Image.fromarray(drawn())
    stored = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    for step in stored.get(orientation, []):
        upright = upright.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert alike(read_digit(encoded(upright, "JPEG", exif=exif)), PLAIN) > SAME


def test_a_phones_photo_is_decoded_at_a_quarter_of_its_size_and_upright() -> None:
    """12 megapixels of JPEG arrive as 1000 x 750, turned as the camera says."""
    photo = np.asarray(cv2.resize(drawn(), (3000, 4000)), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = encoded(np.rot90(photo), "JPEG", exif=exif)
    assert decode(stored, 12_000_000, MAX_BYTES, opaque).shape[:2] == (1000, 750)
    assert alike(read_digit(stored), read_digit(encoded(photo[::4, ::4]))) > SAME


@pytest.mark.parametrize("ink", [(0, 0, 0), (255, 255, 255), (200, 40, 40)])
@pytest.mark.parametrize("hidden", [0, 255])
def test_ink_on_a_transparent_canvas_is_found(ink: tuple[int, ...], hidden: int) -> None:
    """Whatever the pen's colour, and whatever colour the see-through pixels have."""
    alpha = 255 - drawn()[..., 0]
    canvas = np.where(alpha[..., None] > 0, np.array(ink), hidden)
    layered = np.dstack([canvas, alpha]).astype(np.uint8)
    assert alike(read_digit(encoded(layered)), PLAIN) > SAME


def test_a_digit_reads_the_same_wherever_it_stands_on_the_sheet() -> None:
    """In a corner, too, where the rectangle that is worked on ends with the picture."""
    whole = drawn()[45:205, 45:165]
    for top, left in [(0, 0), (0, 120), (80, 0), (80, 120), (40, 60)]:
        moved = np.full((240, 240, 3), 255, np.uint8)
        moved[top : top + 160, left : left + 120] = whole
        assert alike(read_digit(encoded(moved)), PLAIN) > SAME


def test_a_photo_with_round_corners_is_a_photo() -> None:
    """Some transparency does not make the visible part the ink."""
    alpha = np.zeros((240, 240), np.uint8)
    cv2.circle(alpha, (120, 120), 135, 255, -1)
    assert alike(read_digit(encoded(np.dstack([drawn(), alpha]))), PLAIN) > SAME


# ---- plain paper ---------------------------------------------------------------------------------

POINTS = st.tuples(st.integers(20, 219), st.integers(20, 219))
COLOURS = st.tuples(*[st.integers(0, 255)] * 3)
ALIKE = 0.8  # a straight line's ends move by a part of a pixel, which costs .15; see SAME
ROUNDED = 0.9  # the box's shorter side is a whole number of pixels, now and then another one


@settings(max_examples=150, deadline=None)
@given(
    stroke=st.lists(POINTS, min_size=2, max_size=6),
    pen=st.integers(4, 30),
    ink=COLOURS,
    paper=COLOURS,
)
def test_plain_paper_reads_as_paper_that_has_to_be_estimated(
    stroke: list[tuple[int, int]], pen: int, ink: tuple[int, ...], paper: tuple[int, ...]
) -> None:
    """Whatever is drawn, in whatever colours: the quick way and the way of photos agree."""
    assume(np.linalg.norm(np.subtract(ink, paper)) > 60)
    assume(np.ptp(stroke, axis=0).max() > 100)
    picture = drawn([stroke], ink=ink, paper=paper, pen=pen)
    plain = plain_paper(picture)
    assert plain is not None
    quick, careful = on_plain_paper(picture, plain), on_any_paper(picture)
    assert alike(as_mnist(quick), as_mnist(careful)) > ALIKE


@pytest.mark.parametrize("scale", [0.5, 2, 6])
def test_the_size_of_a_drawing_on_plain_paper_changes_nothing(scale: float) -> None:
    """Halved, enlarged, or so small on its sheet that it is looked at twice."""
    resized = np.asarray(cv2.resize(drawn(), None, fx=scale, fy=scale), np.uint8)
    assert alike(read_digit(encoded(resized)), PLAIN) > ROUNDED
    sheet = np.full((1500, 1500, 3), 255, np.uint8)
    sheet[: len(resized), : len(resized)] = resized
    sheet[1480:1483, 1480:1483] = 0  # a speck, far away
    assert alike(read_digit(encoded(sheet)), PLAIN) > ROUNDED


@pytest.mark.parametrize("hardship", [under_a_gradient, under_a_shadow, noisy, on_a_dark_table])
def test_paper_of_more_than_one_colour_is_not_plain(
    hardship: Callable[[Picture, np.random.Generator], Picture],
) -> None:
    """Light and noise are in every photo; what is not surely plain goes the careful way."""
    spoilt = hardship(drawn(paper=(225, 222, 215)), np.random.default_rng(0))
    assert plain_paper(spoilt) is None


def test_a_soft_shadow_on_plain_paper_is_blank() -> None:
    """Fading into paper of exactly one colour, it is no stroke either."""
    rows, columns = np.mgrid[:240, :240] - 120
    shadow = 255 - 120 * np.exp(-(rows**2 + columns**2) / 800)
    picture = np.rint(shadow).astype(np.uint8)
    assert np.count_nonzero(picture == 255) > picture.size / 2
    with pytest.raises(BlankImage, match="soft shadows"):
        read_digit(encoded(picture))


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_a_few_pixels_on_plain_paper_are_a_speck(size: int) -> None:
    """Enlarged they would be a digit's size, and a blot."""
    picture = np.full((280, 280), 255, np.uint8)
    picture[100 : 100 + size, 100 : 100 + size] = 0
    with pytest.raises(BlankImage, match="specks"):
        read_digit(encoded(picture))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(SHAPES)), st.integers(1, 40), st.integers(60, 400))
def test_a_pen_that_is_not_measured_finely_needs_no_thickening(
    shape: str, pen: int, size: int
) -> None:
    """Ink that the quick check calls thick is left alone by the exact measure as well."""
    digit = on_any_paper(drawn(SHAPES[shape], pen=pen))
    ink = np.asarray(cv2.resize(digit, None, fx=size / 240, fy=size / 240), np.float32)
    if surely_thick(ink):
        fine = enlarged(ink)
        assert thickened(fine) is fine


# ---- already MNIST -------------------------------------------------------------------------------


def test_what_is_mnist_already_passes_unchanged() -> None:
    """Byte for byte; the answer to any picture has MNIST's form, so it is its own answer."""
    for shape in SHAPES.values():
        digit = read_digit(encoded(drawn(shape)))
        assert np.array_equal(read_digit(encoded(digit)), digit)
        assert np.array_equal(read_digit(encoded(~digit)), digit)
        assert np.array_equal(read_digit(encoded(digit.repeat(4, 0).repeat(4, 1))), digit)


def test_a_28_pixel_picture_that_is_not_mnist_is_brought_into_its_form() -> None:
    """A small drawing in a corner, or on grey, is no MNIST picture for being 28x28."""
    corner = np.zeros((28, 28), np.uint8)
    left, top, width, height = cv2.boundingRect(PLAIN)
    whole = PLAIN[top : top + height, left : left + width]
    small = cv2.resize(whole, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    corner[2 : 2 + small.shape[0], 2 : 2 + small.shape[1]] = small
    digit = read_digit(encoded(corner))
    assert not np.array_equal(digit, corner)
    assert alike(digit, PLAIN) > 0.85  # 14 pixels hold no more of it


# ---- nothing to see ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (28, 28), (280, 280), (900, 1200)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_one_colour_is_blank(size: tuple[int, int], level: int) -> None:
    """A picture without any difference in it gets no digit."""
    with pytest.raises(BlankImage):
        read_digit(encoded(np.full(size, level, np.uint8)))


@pytest.mark.parametrize("size", [28, 64, 280, 900])
@pytest.mark.parametrize("sigma", [2, 10, 50])
def test_noise_is_blank(size: int, sigma: int) -> None:
    """Sensor noise alone gets no digit, in grey and in colour."""
    rng = np.random.default_rng(size + sigma)
    for shape in ((size, size), (size, size, 3)):
        noise = np.clip(rng.normal(128, sigma, shape), 0, 255).astype(np.uint8)
        with pytest.raises(BlankImage):
            read_digit(encoded(noise))


def test_fully_transparent_is_blank() -> None:
    """Colours that nobody can see are not a drawing."""
    hidden = np.dstack([drawn(), np.zeros((240, 240), np.uint8)])
    with pytest.raises(BlankImage, match="transparent"):
        read_digit(encoded(hidden))


# ---- hostile bytes -------------------------------------------------------------------------------


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header promises what its few bytes do not hold."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99))


@pytest.mark.parametrize("side", [8_000, 12_000, 60_000])
def test_a_bomb_is_refused_by_its_header(side: int) -> None:
    """Below, at and above Pillow's own limits: never decoded, and the error has the numbers."""
    with pytest.raises(ImageTooLarge) as refused:
        read_digit(png_of(side, side))
    assert f"{side * side:,} pixels, the limit is 50,000,000" in str(refused.value)


def test_the_limit_is_the_callers() -> None:
    """`max_pixels` counts width times height; exactly that many are allowed."""
    picture = encoded(drawn())
    assert read_digit(picture, max_pixels=240 * 240).any()
    with pytest.raises(ImageTooLarge):
        read_digit(picture, max_pixels=240 * 240 - 1)


def test_the_size_of_a_webp_is_known_before_it_is_opened() -> None:
    """All three kinds of header have it."""
    picture = Image.fromarray(np.zeros((37, 210, 3), np.uint8))
    options: list[dict[str, Any]] = [{}, {"lossless": True}, {"exif": b"Exif\0\0MM"}]
    for beside, kind in zip(options, (b"VP8 ", b"VP8L", b"VP8X"), strict=True):
        webp = encoded(picture, "WEBP", **beside)
        assert webp[12:16] == kind
        assert webp_size(webp) == (210, 37)
    assert webp_size(encoded(picture)) is None


def test_scans_of_a_jpeg_are_counted_and_those_of_its_metadata_are_not() -> None:
    """A thumbnail has scans of its own, and a film behind the end looks as if it had."""
    thumbnail = encoded(drawn(size=60), "JPEG", progressive=True)
    film = b"\xff\xda" * 100
    for progressive, scans in ((False, 1), (True, 10)):
        jpeg = encoded(drawn(), "JPEG", progressive=progressive, comment=thumbnail) + film
        assert count_scans(jpeg) == scans
        assert read_digit(jpeg).any()


@pytest.mark.parametrize("shape", [(2300, 2600), (2301, 2599), (2601, 2048)])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16"])
def test_a_large_picture_is_halved_by_tiles_as_it_is_as_a_whole(
    shape: tuple[int, int], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tile is a matter of memory alone."""
    monkeypatch.setattr(sys.modules[decode.__module__], "TILE", 2**22)
    large = np.asarray(cv2.resize(drawn(), shape[::-1]), np.uint8)
    image = Image.fromarray(large).convert("L" if mode == "I;16" else mode).convert(mode)
    whole = smaller(image)
    monkeypatch.undo()
    assert np.array_equal(smaller(image), whole)


@pytest.mark.parametrize("junk", [b"", b"\0" * 100, b"GIF89a", b"%PDF-1.7", b"<svg/>", b"BM"])
def test_what_is_no_picture_is_unreadable(junk: bytes) -> None:
    """Not one of the five formats, or only the beginning of one."""
    with pytest.raises(UnreadableImage):
        read_digit(junk)


@pytest.mark.parametrize("kind", ["TIFF", "ICO", "PPM"])
def test_formats_that_are_not_offered_are_unreadable(kind: str) -> None:
    """Pillow could read them; the service does not."""
    with pytest.raises(UnreadableImage, match="PNG, JPEG, WEBP, BMP, GIF"):
        read_digit(encoded(drawn(), kind))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_half_a_file_is_unreadable(kind: str) -> None:
    """A broken upload is told from a whole picture."""
    whole = encoded(drawn(), kind)
    with pytest.raises(UnreadableImage):
        read_digit(whole[: len(whole) // 2])


SMALL = Image.fromarray(cv2.resize(drawn(), (40, 40), interpolation=cv2.INTER_AREA))
SEEDS = [
    encoded(SMALL.convert("RGBA")),
    encoded(SMALL.quantize(8)),
    encoded(SMALL, "JPEG"),
    encoded(SMALL.convert("CMYK"), "JPEG"),
    encoded(SMALL, "JPEG", progressive=True),
    encoded(SMALL, "WEBP"),
    encoded(SMALL, "BMP"),
    encoded(SMALL.quantize(4), "GIF", save_all=True, append_images=[SMALL.rotate(9).quantize(4)]),
]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.sampled_from(SEEDS),
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6),
    keep=st.floats(0.05, 1.0),
)
def test_damaged_bytes_give_a_digit_or_a_picture_error(
    seed: bytes, flips: list[tuple[int, int]], keep: float
) -> None:
    """Nothing but the three errors ever escapes."""
    damaged = bytearray(seed)
    for at, value in flips:
        damaged[at % len(damaged)] = value
    try:
        digit = read_digit(bytes(damaged[: int(keep * len(damaged))]))
    except PictureError:
        return
    assert digit.shape == (28, 28)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32 - 1), st.booleans())
def test_any_pixels_at_all_give_a_digit_or_a_picture_error(
    width: int, height: int, seed: int, sparse: bool
) -> None:
    """Slivers, single pixels, confetti."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width, 4)).astype(np.uint8)
    if sparse:
        pixels[rng.random((height, width)) < 0.9] = 255
    try:
        digit = read_digit(encoded(pixels))
    except PictureError:
        return
    assert digit.shape == (28, 28)


# ---- real data -----------------------------------------------------------------------------------


def test_every_picture_of_the_mnist_test_set_passes_unchanged(copies: Path) -> None:
    """All 10,000 pictures come back byte for byte: as PNG, inverted, and at 4 times the size."""
    packed = (copies / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes()
    images = np.frombuffer(gzip.decompress(packed), np.uint8, offset=16).reshape(-1, 28, 28)
    for image in images:
        for variant in (image, ~image, image.repeat(4, 0).repeat(4, 1)):
            assert np.array_equal(read_digit(encoded(variant, compress_level=0)), image)


def test_no_drawing_by_a_person_is_taken_for_blank(copies: Path) -> None:
    """All of drawn/ and hwd-1000 hold a digit; each is brought into MNIST's form."""
    pictures = [
        file
        for name in ("drawn", "hwd-1000")
        for file in sorted((copies / name).glob("*"))
        if file.suffix in (".png", ".jpg", ".jpeg")
    ]
    assert len(pictures) == 289 + 500
    for file in pictures:
        digit = read_digit(file.read_bytes())
        assert digit.max() > 150, file.name


@pytest.mark.parametrize("upright", [True, False])
def test_a_straight_bar_that_fills_its_box_is_a_stroke(upright: bool) -> None:
    """A 1 drawn by a program has no soft edge and no paper in its bounding box."""
    image = np.full((200, 200), 255, np.uint8)
    image[40:160, 92:109] = 0
    read = read_digit(encoded(image if upright else image.T))
    rows, columns = (read.sum(axis=axis) > 0 for axis in (1, 0))
    assert sorted([int(rows.sum()), int(columns.sum())])[1] == 20
