"""Data sets have the published content, wherever they come from, or there is a helpful error."""

import csv
import gzip
import hashlib
import io
import shutil
import socket
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from service.contract.tabular import TabularTask
from service.tasks import TASKS
from training.data import datasets, downloads
from training.data.datasets import (
    DataDiffers,
    DataMissing,
    ImageData,
    TabularData,
    load_credit,
    load_heart,
    load_mnist,
    task_features,
)
from training.data.downloads import Parts, VerifiedDownload, digest
from training.data.file_formats import parse_idx
from training.data.sources import HEART, HEART_PRINTS, IDX_SHAPES
from training.data.synthetic import synthetic_credit, synthetic_digits, synthetic_heart
from training.recipes import fashion

KAGGLE_LABELS = ["default.payment.next.month", "default payment next month", "DEFAULT", "Default"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set an empty cache, no data directory in the environment, and retries without waiting."""
    folder = tmp_path / "cache"
    monkeypatch.delenv(downloads.DATA_DIR, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(downloads, "cache_folder", lambda: folder)
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    return folder


@pytest.fixture(scope="session")
def heart(copies: Path) -> TabularData:
    """Load the real copy."""
    return load_heart(copies)


@pytest.fixture(scope="session")
def credit(copies: Path) -> TabularData:
    """Load the real copy."""
    return load_credit(copies)


@pytest.fixture(scope="session")
def credit_rows(copies: Path) -> list[list[str]]:
    """Return the rows of the real credit file, with every value written as a whole number."""
    with (copies / "credit" / "UCI_Credit_Card.csv").open() as file:
        rows = list(csv.reader(file))
    return [rows[0], *([str(int(float(cell))) for cell in row] for row in rows[1:])]


def place(root: Path, name: str, content: bytes | str) -> Path:
    """Write one file into a data directory `root` and return `root`."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def to_csv(rows: list[list[str]], end: str = "\n") -> str:
    """Format rows as the text of a csv file."""
    out = io.StringIO()
    csv.writer(out, lineterminator=end).writerows(rows)
    return out.getvalue()


def assert_valid(task: str, data: TabularData) -> None:
    """Check that each of the first 1,000 rows validates as a request to the service."""
    declared = TASKS[task]
    assert isinstance(declared, TabularTask)
    for row in data.features.head(1_000).to_dict(orient="records"):
        declared.payload.model_validate({str(k): v for k, v in row.items() if not np.isnan(v)})


def heart_rows(copies: Path) -> list[list[str]]:
    """Return the cells of the real file, which has no header."""
    with (copies / "heart" / "processed.cleveland.data").open() as file:
        return [row for row in csv.reader(file) if row]


# The real copies


def test_heart_is_303_patients_of_whom_139_are_diseased(heart: TabularData) -> None:
    """The label is num > 0, and six values (four ca, two thal) are missing."""
    assert heart.features.shape == (303, 13)
    assert list(heart.features) == [feature.name for feature in task_features("heart")]
    assert set(heart.features.dtypes) == {np.dtype(np.float64)}
    assert heart.label.dtype == np.int64
    assert set(heart.label) == {0, 1}
    assert heart.label.sum() == 139
    missing = heart.features.isna().sum()
    assert missing[missing > 0].to_dict() == {"ca": 4, "thal": 2}
    assert heart.published


def test_credit_is_30000_clients_of_whom_6636_default(credit: TabularData) -> None:
    """23 attributes are in the contract's order; nothing is missing, and the row ID is dropped."""
    assert credit.features.shape == (30_000, 23)
    assert list(credit.features) == [feature.name for feature in task_features("credit")]
    assert credit.label.sum() == 6_636
    assert not credit.features.isna().any().any()
    assert credit.published


@pytest.mark.parametrize("load", [load_mnist, fashion.load])
def test_images_are_60000_and_10000_of_28_by_28(
    load: Callable[[Path], ImageData], copies: Path
) -> None:
    """Pixels are uint8, labels int64 from 0 to 9, and every class occurs."""
    data = load(copies)
    assert data.train_images.shape == (60_000, 28, 28)
    assert data.test_images.shape == (10_000, 28, 28)
    assert data.train_images.dtype == data.test_images.dtype == np.uint8
    assert data.train_labels.dtype == data.test_labels.dtype == np.int64
    assert set(data.train_labels) == set(data.test_labels) == set(range(10))
    assert data.published


def test_mnist_has_the_published_pixels(copies: Path) -> None:
    """The md5 of the decompressed train images is the published one."""
    packed = (copies / "mnist" / "train-images-idx3-ubyte.gz").read_bytes()
    known = "6bbc9ace898e44ae57da46a324031adb"
    assert hashlib.md5(gzip.decompress(packed), usedforsecurity=False).hexdigest() == known


def test_every_row_fits_the_contract(heart: TabularData, credit: TabularData) -> None:
    """Every published row validates as a request."""
    for name, data in {"heart": heart, "credit": credit}.items():
        assert_valid(name, data)


def test_the_environment_names_the_data_directory(
    copies: Path, heart: TabularData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FORETELL_DATA_DIR does what the argument does."""
    monkeypatch.setenv("FORETELL_DATA_DIR", str(copies))
    assert load_heart().fingerprint == heart.fingerprint


# Other names, other formats, the same values


@pytest.mark.parametrize("form", ["uci", "shuffled", "excel", "headerless"])
def test_heart_is_accepted_in_every_form(
    form: str, tmp_path: Path, copies: Path, heart: TabularData
) -> None:
    """UCI's csv (blanks), another order of columns, CRLF with BOM, and no header are accepted."""
    rows = [
        ["" if cell == "?" else f"{float(cell):g}" for cell in row] for row in heart_rows(copies)
    ]
    header = list(HEART_PRINTS)
    content = {
        "uci": to_csv([header, *rows]),
        "shuffled": to_csv([row[::-1] for row in [header, *rows]]),
        "excel": "\ufeff" + to_csv([[name.upper() for name in header], *rows], end="\r\n"),
        "headerless": to_csv(rows),
    }[form]
    data = load_heart(place(tmp_path, "heart/data.csv", content))
    assert data.fingerprint == heart.fingerprint
    assert data.features.equals(heart.features)


def test_credit_is_accepted_as_uci_publishes_it(
    tmp_path: Path, credit: TabularData, credit_rows: list[list[str]]
) -> None:
    """The csv of data set 350, rebuilt to UCI's own sha256, is accepted."""
    header = ["ID", *(f"X{number}" for number in range(1, 24)), "Y"]
    content = to_csv([header, *credit_rows[1:]], end="\r\n").encode()
    published_as = "45bcf4df62ff2e237a74eb155cabfb4bbbc171219a0637daef44fdad07503dd0"
    assert hashlib.sha256(content).hexdigest() == published_as
    data = load_credit(place(tmp_path, "credit/data.csv", content))
    assert data.fingerprint == credit.fingerprint
    assert data.features.equals(credit.features)


@pytest.mark.parametrize("label", KAGGLE_LABELS)
def test_credit_is_accepted_with_every_name_of_its_label(
    label: str, tmp_path: Path, credit: TabularData, credit_rows: list[list[str]]
) -> None:
    """Kaggle's and the spreadsheet's names are accepted, with and without the row ID."""
    start = KAGGLE_LABELS.index(label) % 2
    header = [*credit_rows[0][:-1], label]
    content = to_csv([row[start:] for row in [header, *credit_rows[1:]]])
    data = load_credit(place(tmp_path, "credit/copy.csv", content))
    assert data.fingerprint == credit.fingerprint


def test_credit_is_accepted_with_the_two_headers_of_the_spreadsheet(
    tmp_path: Path, credit: TabularData, credit_rows: list[list[str]]
) -> None:
    """UCI's xls saved as csv, with X1.. in a line above the names, is accepted."""
    above = ["", *(f"X{number}" for number in range(1, 24)), "Y"]
    data = load_credit(place(tmp_path, "credit/data.csv", to_csv([above, *credit_rows])))
    assert data.fingerprint == credit.fingerprint


def test_images_are_accepted_unzipped_and_zipped_again(tmp_path: Path, copies: Path) -> None:
    """Only the content of an idx file counts, not its compression or its name's ending."""
    whole = fashion.load(copies)
    for number, name in enumerate(IDX_SHAPES):
        packed = (copies / "fashion-mnist" / f"{name}.gz").read_bytes()
        content = gzip.decompress(packed)
        if number == 0:
            place(tmp_path, f"fashion-mnist/{name}", content)
        elif number == 1:
            place(tmp_path, f"fashion-mnist/{name}.gz", content)
        else:
            place(tmp_path, f"fashion-mnist/{name}.gz", gzip.compress(content, 1, mtime=1))
    assert fashion.load(tmp_path).fingerprint == whole.fingerprint


# Anything else is refused


def test_a_changed_value_is_refused_naming_its_column(tmp_path: Path, copies: Path) -> None:
    """A cholesterol that differs by one is refused, naming file and column, and no other column."""
    rows = heart_rows(copies)
    rows[100][4] = str(float(rows[100][4]) + 1)
    with pytest.raises(DataDiffers, match=r"processed\.cleveland\.data.*other values in chol$"):
        load_heart(place(tmp_path, "heart/processed.cleveland.data", to_csv(rows)))


def test_a_filled_in_missing_value_is_refused(tmp_path: Path, copies: Path) -> None:
    """A copy with imputed values is refused."""
    content = to_csv([[cell.replace("?", "0.0") for cell in row] for row in heart_rows(copies)])
    with pytest.raises(DataDiffers, match=r"other values in ca, thal$"):
        load_heart(place(tmp_path, "heart/data.csv", content))


def test_the_lecture_copy_of_heart_is_refused(tmp_path: Path, copies: Path) -> None:
    """The lecture's copy lacks rows, repeats others and calls its label target: it is refused."""
    content = (copies / "heart" / "heart.csv").read_bytes()
    with pytest.raises(DataDiffers, match="no column num among age, sex"):
        load_heart(place(tmp_path, "heart/data.csv", content))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("heart/data.csv", "", "age has shape"),
        ("heart/data.csv", "<html>\n<body>404, sorry</body>", "line 1 has 1 cells, expected 14"),
        ("heart/data.csv", b"\xff\xfe\x00\x01", "decode"),
        ("heart/data.csv", ",".join(HEART_PRINTS) + "\n" + "1," * 13 + "x\n", "num: .*'x'"),
        ("heart/data.csv", '"' + "x" * 200_000, "field larger than field limit"),
    ],
)
def test_another_file_than_the_table_is_refused(
    name: str, content: bytes | str, message: str, tmp_path: Path
) -> None:
    """Empty files, error pages, binary files and words for numbers each get their own message."""
    with pytest.raises(DataDiffers, match=message):
        load_heart(place(tmp_path, name, content))


def test_a_truncated_table_is_refused(tmp_path: Path, copies: Path) -> None:
    """A missing row is named by the shape, an incomplete row by its line."""
    rows = heart_rows(copies)
    with pytest.raises(DataDiffers, match=r"age has shape \(302,\), expected \(303,\)"):
        load_heart(place(tmp_path, "heart/data.csv", to_csv(rows[:-1])))
    with pytest.raises(DataDiffers, match="line 303 has 5 cells, expected 14"):
        load_heart(place(tmp_path, "heart/data.csv", to_csv([*rows[:-1], rows[-1][:5]])))


def idx(values: NDArray[Any], magic: bytes = b"\0\0\x08") -> bytes:
    """Return an idx file that holds `values` as bytes."""
    sizes = b"".join(size.to_bytes(4) for size in values.shape)
    return magic + bytes([values.ndim]) + sizes + values.astype(np.uint8).tobytes()


def test_an_idx_file_keeps_shape_and_values() -> None:
    """Arrays of three dimensions and of one keep their shape and values."""
    values = np.arange(24).reshape(2, 3, 4)
    assert np.array_equal(parse_idx(idx(values), "x")["x"], values)
    assert np.array_equal(parse_idx(gzip.compress(idx(values[0, 0])), "x")["x"], values[0, 0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx(np.zeros((2, 3)), magic=b"\0\0\x0d"), "begin with 00 00 08, not 00 00 0d"),
        (idx(np.zeros((2, 3)))[:-1], "header says 6 bytes, 5 are there"),
        (idx(np.zeros((2, 3))) + b"\0", "header says 6 bytes, 7 are there"),
        (b"\0\0\x08\xff\0", "header says"),
        (b"\0\0", "begin with"),
        (b"", "begin with"),
        (gzip.compress(idx(np.zeros((20, 30))))[:-9], "broken gzip"),
        (b"\x1f\x8bnonsense", "broken gzip"),
    ],
)
def test_a_damaged_idx_file_is_refused(content: bytes, message: str) -> None:
    """A wrong magic number, too few or too many bytes, and half a gzip raise ValueError."""
    with pytest.raises(ValueError, match=message):
        parse_idx(content, "x")


def test_an_image_file_of_wrong_shape_or_content_is_refused(tmp_path: Path, copies: Path) -> None:
    """Test images in place of train images, and Fashion in place of MNIST, are refused."""
    small, large = "t10k-images-idx3-ubyte.gz", "train-images-idx3-ubyte.gz"
    root = place(tmp_path, f"mnist/{large}", (copies / "mnist" / small).read_bytes())
    with pytest.raises(DataDiffers, match=r"has shape \(10000, 28, 28\), expected \(60000, 28,"):
        load_mnist(root)
    shutil.copy(copies / "fashion-mnist" / large, root / "mnist")
    with pytest.raises(DataDiffers, match=f"{large}: .* other values in train-images-idx3-ubyte$"):
        load_mnist(root)


def test_the_digest_has_one_nan_and_one_zero() -> None:
    """The bits of a NaN and the sign of zero make no difference; the order of rows does."""
    odd = np.array([0x7FF8000000000001, 0x8000000000000000], np.uint64).view(np.float64)
    assert digest(odd) == digest(np.array([np.nan, 0.0]))
    assert digest(odd) == digest(odd.astype(">f8"))
    assert digest(odd) != digest(odd[::-1])


# Absent files


@pytest.mark.parametrize(
    ("load", "names"),
    [
        (load_heart, ["heart", "processed.cleveland.data", "data.csv", "archive.ics.uci.edu"]),
        (load_credit, ["credit", "UCI_Credit_Card.csv", "data.csv", "archive.ics.uci.edu"]),
        (load_mnist, ["mnist", "train-images-idx3-ubyte.gz", "yann.lecun.com"]),
        (fashion.load, ["fashion-mnist", "train-images-idx3-ubyte.gz", "zalandoresearch"]),
    ],
)
def test_a_file_absent_from_the_data_directory_is_named(
    load: Callable[[Path], object], names: list[str], tmp_path: Path
) -> None:
    """A named data directory is the only place: nothing is downloaded instead."""
    with pytest.raises(DataMissing) as caught:
        load(tmp_path)
    assert all(name in str(caught.value) for name in [str(tmp_path), *names])


def test_without_network_the_error_says_where_to_get_it_and_where_to_put_it(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DataMissing names file, every address tried, home, cache folder and data directory."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/data.csv"
        monkeypatch.setattr(datasets, "HEART_MIRRORS", (url,))
        with pytest.raises(DataMissing) as caught:
            load_heart()
    home = HEART.home
    for part in ["heart/processed.cleveland.data", url, home, str(cache), "FORETELL_DATA_DIR"]:
        assert part in str(caught.value)


# Downloads, from a server of our own


class Server:
    """An HTTP server that answers each path with its next answer, and the last one ever after.

    A number is a status; bytes are a body, of which the end is missing where they begin with CUT.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[bytes | int]] = {}
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                answers = server.answers.get(self.path, [404])
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                cut = isinstance(answer, bytes) and answer.startswith(b"CUT")
                self.send_response(answer if isinstance(answer, int) else 200)
                body = b"" if isinstance(answer, int) else answer.removeprefix(b"CUT")
                self.send_header("Content-Length", str(len(body) + (100 if cut else 0)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = Thread(target=self.http.serve_forever)

    def url(self, path: str) -> str:
        """Return the address of a path on this server."""
        return f"http://127.0.0.1:{self.http.server_address[1]}{path}"


@pytest.fixture
def server() -> Iterator[Server]:
    """Run a server on 127.0.0.1."""
    server = Server()
    server.thread.start()
    yield server
    server.http.shutdown()
    server.thread.join()
    server.http.server_close()


GOOD = b"good content"


def parse(raw: bytes) -> Parts:
    """Parse every byte as a value."""
    return {"bytes": np.frombuffer(raw, np.uint8)}


def a_file(*mirrors: str) -> VerifiedDownload:
    """Declare a file whose published content is GOOD."""
    return VerifiedDownload(
        folder="set",
        names=("file.bin", "other.bin"),
        mirrors=mirrors,
        home="https://home.example",
        shape=(len(GOOD),),
        prints={"bytes": digest(parse(GOOD)["bytes"])[:16]},
        parse=parse,
    )


def files_in(folder: Path) -> list[str]:
    """List every file below a folder, as a path relative to it."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_download_is_cached(server: Server, cache: Path) -> None:
    """The second read makes no request."""
    server.answers["/file.bin"] = [GOOD]
    for _ in range(2):
        assert a_file(server.url("/file.bin")).read()["bytes"].tobytes() == GOOD
    assert server.asked == ["/file.bin"]
    assert files_in(cache) == ["set/file.bin"]


def test_a_failing_download_is_tried_again(server: Server, cache: Path) -> None:
    """A 503 and a connection cut in the middle are retried."""
    server.answers["/file.bin"] = [503, b"CUT" + GOOD, GOOD]
    a_file(server.url("/file.bin")).read()
    assert len(server.asked) == 3
    assert files_in(cache) == ["set/file.bin"]


def test_a_broken_mirror_is_passed_over(server: Server, cache: Path) -> None:
    """A mirror without the file and one with other content are skipped for the third."""
    server.answers |= {"/b/file.bin": [b"evil content"], "/c/file.bin": [GOOD]}
    a_file(*(server.url(f"/{mirror}/file.bin") for mirror in "abc")).read()
    assert server.asked[-2:] == ["/b/file.bin", "/c/file.bin"]
    assert files_in(cache) == ["set/file.bin"]


@pytest.mark.parametrize("answer", [b"evil content", b"", b"CUT" + GOOD[:4]])
def test_wrong_content_never_enters_the_cache(answer: bytes, server: Server, cache: Path) -> None:
    """Corrupt, empty or partial content raises an error with the address and leaves no file."""
    server.answers["/file.bin"] = [answer]
    url = server.url("/file.bin")
    with pytest.raises((DataDiffers, DataMissing), match=url):
        a_file(url).read()
    assert files_in(cache) == []


def test_wrong_content_everywhere_is_no_absence(server: Server) -> None:
    """A mirror with other content raises DataDiffers, not DataMissing."""
    server.answers["/file.bin"] = [b"evil content"]
    with pytest.raises(DataDiffers, match="other values in bytes"):
        a_file(server.url("/file.bin")).read()


def test_a_cached_file_that_went_bad_is_replaced(server: Server, cache: Path) -> None:
    """A damaged file in the cache is downloaded again."""
    server.answers["/file.bin"] = [GOOD]
    place(cache, "set/file.bin", b"rotten")
    a_file(server.url("/file.bin")).read()
    assert (cache / "set" / "file.bin").read_bytes() == GOOD


def test_a_copy_put_into_the_cache_by_hand_is_used(server: Server, cache: Path) -> None:
    """A copy under any of the file's names is read from the cache, as the error advises."""
    place(cache, "set/other.bin", GOOD)
    a_file(server.url("/file.bin")).read()
    assert server.asked == []


def test_heart_comes_from_its_mirrors(
    server: Server, copies: Path, heart: TabularData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing csv is skipped for the old file, whose content is verified and cached."""
    old = "/heart-disease/processed.cleveland.data"
    server.answers[old] = [(copies / "heart" / "processed.cleveland.data").read_bytes()]
    monkeypatch.setattr(datasets, "HEART_MIRRORS", (server.url("/data.csv"), server.url(old)))
    assert load_heart().fingerprint == heart.fingerprint
    asked = len(server.asked)
    assert load_heart().fingerprint == heart.fingerprint
    assert len(server.asked) == asked


def test_images_come_from_their_mirrors(
    server: Server, cache: Path, copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four files come from one mirror, and each is cached as it was served."""
    for name in IDX_SHAPES:
        packed = (copies / "mnist" / f"{name}.gz").read_bytes()
        server.answers[f"/mnist/{name}.gz"] = [packed]
    monkeypatch.setattr(datasets, "MNIST_MIRRORS", (server.url("/mnist/"),))
    assert load_mnist().test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert files_in(cache) == sorted(f"mnist/{name}.gz" for name in IDX_SHAPES)


# Synthetic data


@pytest.mark.parametrize(
    ("make", "task"), [(synthetic_heart, "heart"), (synthetic_credit, "credit")]
)
def test_synthetic_rows_fit_the_contract(make: Callable[..., TabularData], task: str) -> None:
    """Every row validates as a request, and only optional fields are ever missing."""
    data = make(rows=300, seed=1)
    assert data.features.shape == (300, len(task_features(task)))
    assert not data.published
    assert_valid(task, data)
    missing = data.features.isna().any()
    assert missing.any() == any(not feature.required for feature in task_features(task))


@pytest.mark.parametrize("make", [synthetic_heart, synthetic_credit])
def test_synthetic_rows_can_be_learned(make: Callable[..., TabularData]) -> None:
    """A logistic regression ranks unseen rows far better than chance (AUC above 0.7)."""
    data = make()
    features = data.features.fillna(data.features.mean())
    inputs = ((features - features.mean()) / features.std()).to_numpy()
    half = len(inputs) // 2
    model = LogisticRegression().fit(inputs[:half], data.label[:half])
    assert roc_auc_score(data.label[half:], model.predict_proba(inputs[half:])[:, 1]) > 0.7


def test_synthetic_digits_look_like_mnist_and_can_be_learned() -> None:
    """Ten balanced classes are white on black, and a linear model gets above 90 %."""
    data = synthetic_digits(train=1_000, test=300)
    assert data.train_images.shape == (1_000, 28, 28)
    assert data.train_images.dtype == np.uint8
    assert np.bincount(data.train_labels).tolist() == [100] * 10
    assert 0.05 < data.train_images.mean() / 255 < 0.35
    assert data.train_images[:, [0, -1], :].mean() < 5
    model = LogisticRegression(max_iter=200)
    model.fit(data.train_images.reshape(-1, 784) / 255, data.train_labels)
    assert model.score(data.test_images.reshape(-1, 784) / 255, data.test_labels) > 0.9


def test_synthetic_garments_can_be_told_apart() -> None:
    """Ten balanced outlines are light on black, and a linear model gets above 90 %."""
    data = fashion.synthetic(train=1_000, test=300)
    assert data.train_images.shape == (1_000, 28, 28)
    assert data.train_images.dtype == np.uint8
    assert np.bincount(data.train_labels).tolist() == [100] * 10
    assert not data.published
    model = LogisticRegression(max_iter=200)
    model.fit(data.train_images.reshape(-1, 784) / 255, data.train_labels)
    assert model.score(data.test_images.reshape(-1, 784) / 255, data.test_labels) > 0.9


@pytest.mark.parametrize(
    "make", [synthetic_heart, synthetic_credit, synthetic_digits, fashion.synthetic]
)
def test_the_seed_decides_synthetic_data(make: Callable[..., TabularData | ImageData]) -> None:
    """The same seed gives the same data; another seed gives other data."""
    assert make(seed=3).fingerprint == make(seed=3).fingerprint
    assert make(seed=3).fingerprint != make(seed=4).fingerprint
