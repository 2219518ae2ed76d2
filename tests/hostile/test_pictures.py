"""Pictures of a few bytes that ask for minutes, gigabytes or the process that decodes them."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from PIL import Image

from tests.hostile.attacked import Attacked, serving, watching
from tests.service.api.test_pictures import encoded, seven
from tests.waiting import wait_until

SEVEN = encoded(seven())
SIDE = 7000
"""49 megapixels, just within FORETELL_MAX_PIXELS."""


@pytest.fixture(scope="module")
def attacked() -> Iterator[Attacked]:
    """A service with one decoder process, which has decoded a picture."""
    with serving(FORETELL_IMAGE_DECODERS="1") as service:
        assert ask(service, SEVEN).status_code == 200
        yield service


def ask(
    service: Attacked, body: bytes, media: str = "image/png", seconds: float = 60
) -> httpx.Response:
    """Send a body to digits."""
    url = f"{service.url}/v1/digits/predict"
    return httpx.post(url, content=body, headers={"content-type": media}, timeout=seconds)


def zipped(pictures: dict[str, bytes]) -> bytes:
    """Return a zip file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in pictures.items():
            archive.writestr(name, content)
    return file.getvalue()


def png(width: int, height: int, colour: int = 2) -> bytes:
    """Return a black PNG of RGB or another type of colour, 150 KB for 49 megapixels."""
    lines = (1 + width * {0: 1, 2: 3, 6: 4}[colour]) * height
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(lines >> 20))
    packed += packer.compress(bytes(lines & 2**20 - 1)) + packer.flush()

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + zlib.crc32(name + body).to_bytes(4)

    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def jpeg(scans: int, side: int = SIDE) -> bytes:
    """Return a progressive JPEG whose scans each refine the brightness of every block."""

    def segment(marker: int, content: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content

    table = bytes([1] + [0] * 15)  # of one code, a bit long
    components = b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    first, refining = (bytes([3, 1, 0, 2, 0, 3, 0, 0, 0, steps]) for steps in (0x01, 0x10))
    return (
        b"\xff\xd8"
        + segment(0xDB, bytes([0] + [1] * 64))
        + segment(0xC2, struct.pack(">BHHB", 8, side, side, 3) + components)
        + segment(0xC4, b"\x00" + table + b"\x01")
        + segment(0xDA, first)
        + b"\0"
        + (segment(0xDA, refining) + b"\0") * (scans - 1)
        + b"\xff\xd9"
    )


def webp(animated: bool = False) -> bytes:
    """Return a WebP of 49 megapixels of one colour, which takes no bit a pixel."""
    file = io.BytesIO()
    Image.new("RGBA", (16, 16), (1, 2, 3, 100)).save(file, "WEBP", lossless=True)
    image = bytearray(file.getvalue()[12:])
    struct.pack_into("<I", image, 9, 1 << 28 | (SIDE - 1) << 14 | SIDE - 1)  # with transparency
    if not animated:
        return b"RIFF" + struct.pack("<I", 4 + len(image)) + b"WEBP" + image
    size = 2 * (SIDE - 1).to_bytes(3, "little")
    frame = bytes(6) + size + bytes([100, 0, 0, 0]) + image
    content = b"VP8X" + struct.pack("<II", 10, 0x12) + size
    content += b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    content += 2 * (b"ANMF" + struct.pack("<I", len(frame)) + frame)
    return b"RIFF" + struct.pack("<I", 4 + len(content)) + b"WEBP" + content


def test_a_jpeg_of_a_thousand_scans_is_refused(attacked: Attacked) -> None:
    """A zip file of a few of them, some KB, took minutes in which no picture was decoded."""
    bombs = zipped({f"{number}.jpg": jpeg(1000) for number in range(8)})
    assert len(bombs) < 10_000
    with watching(attacked) as watch, ThreadPoolExecutor(1) as attacker:
        answers = attacker.submit(ask, attacked, bombs, "application/zip")
        assert ask(attacked, SEVEN).status_code == 200
        for answer in answers.result().json():
            assert answer["error"]["status"] == 413
            assert "1,000 scans, the limit is 32" in answer["error"]["detail"]
        wait_until(lambda: watch.answers > 4)
    watch.check()


@pytest.mark.parametrize("animated", [False, True])
def test_a_webp_of_some_bytes_takes_no_memory(attacked: Attacked, animated: bool) -> None:
    """It took 0.8 to 1.5 GB in a decoder process."""
    bomb = webp(animated)
    assert len(bomb) < 200
    with watching(attacked) as watch:
        answer = ask(attacked, bomb, "image/webp")
        assert answer.status_code == 413
        assert "FORETELL_MAX_PICTURE_BYTES" in answer.json()["detail"]
        wait_until(lambda: watch.answers > 4)
    watch.check()


@pytest.mark.parametrize("colour", [0, 2, 6])
def test_the_largest_pictures_are_decoded_within_the_limit_of_memory(
    attacked: Attacked, colour: int
) -> None:
    """49 megapixels of a PNG took 470 MB: four bytes a pixel, and seven of copies."""
    with watching(attacked) as watch:
        answer = ask(attacked, png(SIDE, SIDE, colour))
        assert answer.status_code == 422, answer.text  # nothing is drawn on it
    watch.check()


def test_a_picture_that_would_not_fit_ends_no_process() -> None:
    """In a container of 256 MiB three eighths of it are for pictures."""
    with serving(
        FORETELL_IMAGE_DECODERS="1", FORETELL_MAX_PICTURE_BYTES=str(96 * 2**20)
    ) as service:
        for body, media in (
            (png(SIDE, SIDE), "image/png"),
            (webp(), "image/webp"),
            (jpeg(10), "image/jpeg"),
        ):
            answer = ask(service, body, media)
            assert answer.status_code == 413, answer.text
            assert "the limit is 100,663,296" in answer.json()["detail"]
        assert ask(service, SEVEN).status_code == 200
        assert ask(service, encoded(seven(2000)), "image/png").status_code == 200
        assert not service.of("decoder died")


def test_one_upload_of_many_pictures_starves_no_other(attacked: Attacked) -> None:
    """A zip file of 200 pictures that take .2 s each; a single picture waits for two of them."""
    large = png(SIDE // 2, SIDE // 2)
    many = zipped({f"{number}.png": large for number in range(200)})
    with watching(attacked) as watch, ThreadPoolExecutor(1) as attacker:
        waiting = attacker.submit(ask, attacked, many, "application/zip", seconds=4)
        wait_until(lambda: metric(attacked, "foretell_decoder_queue_pictures") == 1)
        for _ in range(5):
            answer = ask(attacked, SEVEN)
            assert answer.status_code == 200
            assert answer.elapsed.total_seconds() < 2, answer.elapsed
        with pytest.raises(httpx.ReadTimeout):
            waiting.result()
    watch.check()


def metric(service: Attacked, name: str) -> float:
    """Return the value of a metric without labels."""
    lines = httpx.get(f"{service.url}/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def test_the_line_before_the_decoders_ends_with_503() -> None:
    """Pictures that wait for too long, or are too many, come back at once with Retry-After."""
    slow = png(SIDE, SIDE)
    with serving(
        FORETELL_IMAGE_DECODERS="1",
        FORETELL_MAX_QUEUE_ROWS="4",
        FORETELL_QUEUE_TIMEOUT_SECONDS="0.5",
    ) as service:
        assert ask(service, SEVEN).status_code == 200
        with watching(service) as watch, ThreadPoolExecutor(12) as callers:
            answers = list(callers.map(lambda _: ask(service, slow), range(12)))
        refused = [answer for answer in answers if answer.status_code == 503]
        details = " ".join(answer.json()["detail"] for answer in refused)
        assert "FORETELL_MAX_QUEUE_ROWS" in details
        assert "FORETELL_QUEUE_TIMEOUT_SECONDS" in details
        assert all("retry-after" in answer.headers for answer in refused)
        assert {answer.status_code for answer in answers} == {422, 503}
        assert ask(service, SEVEN).status_code == 200
    watch.check()


def records64(archive: bytes) -> bytes:
    """Move the end of a zip file into zip64 records; what stands in the old place is a lie."""
    end = archive.rindex(b"PK\x05\x06")
    count, size, offset = struct.unpack_from("<HII", archive, end + 10)
    record = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, size, offset)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, end, 1)
    lie = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, 100, offset, 0)
    return archive[:end] + record + locator + lie


def test_zip64_records_hide_no_table_of_contents(attacked: Attacked) -> None:
    """600,000 entries were read before they were counted: 44 s."""
    entry = b"PK\x01\x02" + bytes(42)
    entries = entry * 600_000
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(entries), 0, 0)
    small = zipped({"a.png": SEVEN})
    with watching(attacked) as watch:
        answer = ask(attacked, b"PK\x03\x04" + records64(entries + end), "application/zip")
        assert answer.status_code == 400
        assert "table of contents" in answer.json()["detail"]
        assert ask(attacked, records64(small), "application/zip").status_code == 200
    watch.check()


@pytest.mark.parametrize("kind", ["markers", "runs"])
def test_work_that_no_header_announces_is_ended(attacked: Attacked, kind: str) -> None:
    """Pillow goes over markers and runs in Python: 32 MB, 30 KB when packed, took 18 s and 1 GB."""
    if kind == "markers":
        file = io.BytesIO()
        Image.new("L", (8, 8)).save(file, "JPEG")
        whole = file.getvalue()
        bomb = whole[:2] + b"\xff\xe5\0\x02" * (7 * 2**20) + whole[2:]
    else:
        header = struct.pack("<IiiHHIIiiII", 40, 5700, 2800, 1, 8, 1, 0, 0, 0, 256, 256)
        start = b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + 40 + 1024) + header + bytes(1024)
        bomb = start + b"\x01\x02" * (15 * 2**20) + b"\0\1"
    packed = zipped({"bomb": bomb})
    assert len(packed) < 100_000
    with watching(attacked) as watch:
        (answer,) = ask(attacked, packed, "application/zip").json()
        assert answer["error"]["status"] == 413
        assert ask(attacked, SEVEN).status_code == 200
    watch.check()
