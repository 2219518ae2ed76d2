"""Tests of the panel "Many rows": a file is scored, summed up and downloaded."""

import gzip
import io
import json
import subprocess
import sys
from csv import DictReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
import xlsxwriter
from python_calamine import CalamineWorkbook

from tests.browser.conftest import Scheme, Visit
from tests.browser.looks import check_accessibility, check_width, picture

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

BATCH = "v1/heart/predict/batch?on_error=report&keep=all"
CSV, PARQUET = "text/csv", "application/vnd.apache.parquet"


def patients(rows: int, bad: tuple[int, ...] = ()) -> pa.Table:
    """Return patients with an account each; those in the rows `bad`, from 1, are 570 years old."""
    rng = np.random.default_rng(0)
    age = rng.integers(30, 80, rows)
    age[[row - 1 for row in bad]] = 570
    return pa.table(
        {
            "account": [f"{row:07}" for row in range(rows)],
            "age": age,
            "sex": rng.integers(0, 2, rows),
            "chol": rng.integers(150, 400, rows),
            "thalach": rng.integers(90, 190, rows),
        }
    )


def csv(table: pa.Table) -> bytes:
    """Return a table as CSV."""
    columns = [table[name].to_pylist() for name in table.column_names]
    lines = [",".join(table.column_names)]
    lines += [",".join(map(str, row)) for row in zip(*columns, strict=True)]
    return ("\n".join(lines) + "\n").encode()


def parquet(table: pa.Table) -> bytes:
    """Return a table as Parquet."""
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def choose(page: "Page", name: str, content: bytes, media: str = "") -> None:
    """Choose a file as by the browser's dialog."""
    page.get_by_label("Choose a file").set_input_files(
        {"name": name, "mimeType": media, "buffer": content}
    )


def finished(page: "Page", name: str, rows: int) -> None:
    """Wait until a file is scored."""
    page.get_by_role("heading", name=f"{name}: {rows:,} rows").wait_for()


def fact(page: "Page", term: str) -> str:
    """Return the text beside a term in the facts of a file."""
    return page.locator(f".facts div:has(dt:text-is('{term}')) dd").inner_text()


def cells(page: "Page", caption: str) -> list[list[str]]:
    """Return the texts of a table's body."""
    found: list[list[str]] = page.locator(f"table:has(caption:text('{caption}')) tbody").evaluate(
        "body => [...body.rows].map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return found


def histogram(page: "Page") -> int:
    """Return the number of rows in all bars."""
    return sum(int(rows.replace(",", "")) for _, rows in cells(page, "Scored rows by probability"))


def downloaded(page: "Page", name: str) -> bytes:
    """Return the content that the button with a file's name saves."""
    with page.expect_download() as saving:
        page.get_by_role("button", name=f"Download {name}").click()
    assert saving.value.suggested_filename == name
    return Path(saving.value.path()).read_bytes()


def answered(playground: str, content: bytes, media: str) -> bytes:
    """Return the service's answer to the same body without a browser."""
    answer = httpx.post(f"{playground}/{BATCH}", content=content, headers={"content-type": media})
    assert answer.status_code == 200
    return answer.content


def test_a_csv_is_scored_and_its_bad_rows_say_why(visit: Visit, playground: str) -> None:
    """Counts, histogram, reasons and first rows are those of the file that is downloaded."""
    page = visit("#rows/heart")
    content = csv(patients(300, bad=(7, 150)))
    choose(page, "book.csv", content)
    finished(page, "book.csv", 300)
    saved = downloaded(page, "book-scored.csv")
    assert saved == answered(playground, content, CSV)
    rows = list(DictReader(saved.decode().splitlines()))
    flagged = sum(row["disease"] == "true" for row in rows)
    assert (fact(page, "Scored"), fact(page, "Bad rows"), fact(page, "By")) == (
        "298", "2", "heart/1",
    )  # fmt: skip
    assert fact(page, "disease, from 0.5").startswith(f"{flagged} (")
    assert histogram(page) == 298
    reason = ["age", "a number from 18 to 120 (years)", "570"]
    assert cells(page, "Rows that could not be scored") == [["7", *reason], ["150", *reason]]
    shown = cells(page, "20 rows of 300")
    assert [row[1:3] for row in shown[:6]] == [
        [row["account"], f"{float(row['probability']):.4f}"] for row in rows[:6]
    ]
    assert shown[6][2] == ""
    assert shown[6][-1] == "age: expected a number from 18 to 120 (years), got 570"
    assert page.get_by_role("status").get_by_text("298 of 300 rows are scored").is_visible()


def drop(page: "Page", files: dict[str, str]) -> None:
    """Drop files on the page, outside of every drop zone that it shows."""
    page.locator("footer").evaluate(
        """(footer, files) => {
            const dataTransfer = new DataTransfer();
            for (const [name, content] of Object.entries(files))
                dataTransfer.items.add(new File([content], name));
            const how = { dataTransfer, bubbles: true, cancelable: true };
            for (const type of ["dragover", "drop"])
                footer.dispatchEvent(new DragEvent(type, how));
        }""",
        files,
    )


def test_a_file_can_be_dropped(visit: Visit) -> None:
    """A file can be dropped anywhere on the page; several at once are refused."""
    page = visit("#rows/heart")
    drop(page, {"dropped.csv": csv(patients(25)).decode()})
    finished(page, "dropped.csv", 25)
    assert histogram(page) == 25
    drop(page, {"a.csv": "age,sex\n", "b.csv": "age,sex\n"})
    page.get_by_text("expected one file, got 2").wait_for()


def test_a_table_without_rows_is_one(visit: Visit, playground: str) -> None:
    """A file of column names without rows is a table, as for the service."""
    page = visit("#rows/heart")
    choose(page, "empty.csv", b"account,age,sex\n")
    finished(page, "empty.csv", 0)
    assert downloaded(page, "empty-scored.csv") == answered(playground, b"account,age,sex\n", CSV)


def test_parquet_comes_back_as_parquet(visit: Visit, playground: str) -> None:
    """Results come from answers that a browser can read; Parquet is made at the download."""
    page = visit("#rows/heart")
    content = parquet(patients(500, bad=(3,)))
    choose(page, "book.parquet", content)
    finished(page, "book.parquet", 500)
    assert histogram(page) == 499
    page.get_by_text("A browser cannot read Parquet").wait_for()
    saved = pq.read_table(io.BytesIO(downloaded(page, "book-scored.parquet")))
    assert saved.equals(pq.read_table(io.BytesIO(answered(playground, content, PARQUET))))
    page.get_by_text("Made:").wait_for()


def test_parquet_may_have_numbers_that_json_has_not(visit: Visit) -> None:
    """NaN in a field is that row's affair: the page asks for no column that JSON cannot hold."""
    page = visit("#rows/heart")
    chol = pa.array([float("nan"), 240.0])
    choose(page, "book.parquet", parquet(pa.table({"age": [57, 61], "sex": [1, 0], "chol": chol})))
    finished(page, "book.parquet", 2)
    assert [row[:2] for row in cells(page, "Rows that could not be scored")] == [["1", "chol"]]
    saved = pq.read_table(io.BytesIO(downloaded(page, "book-scored.parquet")))
    assert saved.column_names[:4] == ["age", "sex", "chol", "probability"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("book.ndjson", b'{"id": {"a": "\\n, \\""}, "age": 57, "sex": 1}\n{"id": 2, "age": "x"}\n'),
        ("book.json", b'[{"id": {"a": "\\n, \\""}, "age": 57, "sex": 1}, {"id": 2, "age": "x"}]'),
    ],
)
def test_objects_come_back_as_objects(
    visit: Visit, playground: str, name: str, content: bytes
) -> None:
    """Nested values are kept, and every error of a row has its own line."""
    page = visit("#rows/heart")
    choose(page, name, content)
    finished(page, name, 2)
    page.get_by_text("Rows that could not be scored").wait_for()
    assert cells(page, "2 rows of 2")[0][1] == '{"a":"\\n, \\""}'
    assert [row[:2] + row[3:] for row in cells(page, "Rows that could not be scored")] == [
        ["2", "age", '"x"'],
        ["2", "sex", "nothing"],
    ]
    media = "application/json" if name.endswith(".json") else "application/x-ndjson"
    saved = downloaded(page, name.replace(".", "-scored."))
    assert saved == answered(playground, content, media)


def arrow_file() -> bytes:
    """Return an Arrow IPC file, as opposed to a stream."""
    sink = io.BytesIO()
    table = patients(3)
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("book.csv", b"Alter,sex\n57,1\n", "The table has no column for age"),
        ("book.csv", b"age,sex\n57,1,2\n", "row 1: expected 2 cells as in the line of names"),
        ("book.csv", b"", "expected a line with the names of columns, got nothing"),
        ("book.csv", bytes(range(256)) * 8, "expected text in cp1252, got other bytes"),
        ("book.json", b'{"age": 57}', "expected a JSON array of objects, got an object"),
        ("book.parquet", b"age,sex\n57,1\n", "not Parquet"),
        ("book.xlsx", b"PK", "not an Excel workbook, or a damaged one"),
        ("book.pdf", b"%PDF", "expected a file that ends in .csv"),
        ("book.csv.gz", b"\x1f\x8b", "damaged or incomplete gzip"),
        ("book.arrow", arrow_file(), "over HTTP the service reads Arrow streams"),
    ],
)  # fmt: skip
def test_a_file_of_another_format_is_refused(
    visit: Visit, name: str, content: bytes, reason: str
) -> None:
    """The service's message is shown at once as an alert; a good file after it is scored."""
    page = visit("#rows/heart")
    choose(page, name, content)
    page.get_by_role("heading", name=f"{name} was refused").wait_for()
    assert reason in page.get_by_role("alert").inner_text()
    choose(page, "good.csv", csv(patients(5)))
    finished(page, "good.csv", 5)
    assert page.get_by_role("alert").count() == 0


def test_a_table_that_breaks_far_down_says_where(visit: Visit) -> None:
    """The answer is cut off by then; the page asks again to show the reason."""
    page = visit("#rows/heart")
    table = csv(patients(150_000))
    choose(page, "book.csv", table + b"1,2,3\n")
    page.get_by_role("heading", name="book.csv was refused").wait_for()
    assert "row 150001: expected 5 cells" in page.get_by_role("alert").inner_text()


def test_an_answer_cut_short_is_told(visit: Visit) -> None:
    """Without the end that counts the rows, an answer that looks whole is no file to download.

    Some proxies end a response in good order that the service broke off.
    """
    page = visit("#rows/heart")

    def cut(lines: int, *last: str) -> None:
        def answer(route: "Route") -> None:
            response = route.fetch()
            kept = response.text().splitlines()[:lines]
            route.fulfill(response=response, body="\n".join([*kept, *last, ""]))

        page.context.unroute_all()
        page.context.route("**/predict/batch*", answer)

    whole = '{"end": {"rows": 5}}'
    reason = "cut off, the rest was not scored: row 4: expected 5 cells"
    for lines, last, said in [
        (3, (), "2 rows came back, and then it ended"),
        (3, (whole,), "3 of 5 rows came back, and then it ended"),
        (3, (reason,), reason),
    ]:
        cut(lines, *last)
        choose(page, "book.csv", csv(patients(5)))
        alert = page.get_by_role("alert").filter(has_text=said)
        alert.wait_for()
        assert "The answer was cut short" in alert.inner_text()
        assert page.get_by_role("button", name="Download book-scored.csv").count() == 0
    page.context.unroute_all()
    choose(page, "book.csv", csv(patients(5)))
    finished(page, "book.csv", 5)


def findings(page: "Page") -> dict[str, str]:
    """Return what the page says that was made of a table."""
    found: dict[str, str] = page.locator(".findings").evaluate(
        """list => Object.fromEntries([...list.children].map(
            line => [...line.children].map(part => part.textContent)))"""
    )
    return found


def test_what_was_made_of_columns_is_told(visit: Visit) -> None:
    """Columns under other names, those left unread, what was guessed and doubts stand on top."""
    page = visit("#rows/heart")
    content = (
        "Age;gender;BP;cholestrol;oldpeak;ward;cp\n57;1;140;241;2,3;A;1\n61;0;120;250;0,4;B;2\n"
    )
    choose(page, "export.csv", content.encode("utf-16"))
    finished(page, "export.csv", 2)
    assert findings(page) == {
        "Read under another name": "gender as sex, BP as trestbps, cholestrol as chol",
        "Not read": "ward",
        "Recorded in no row": "fbs, restecg, thalach, exang, slope, ca, thal",
        "Form found out": "encoding utf-16, delimiter semicolon, decimal comma",
        "Codes read as": "uci",
    }
    assert "could be kaggle" in page.locator(".warning").inner_text()


KAGGLE = (
    b"age,sex,cp,trestbps,slope,thal,target\n"
    b"61,1,3,142,0,1,1\n36,1,2,131,0,2,1\n64,1,0,160,1,3,0\n58,0,0,150,2,3,0\n"
)


def test_another_coding_is_refused_until_it_is_chosen(visit: Visit) -> None:
    """A table in Kaggle's codes is refused; one click reads it so, another takes that back."""
    page = visit("#rows/heart")
    choose(page, "heart.csv", KAGGLE)
    page.get_by_role("heading", name="heart.csv was refused").wait_for()
    assert "No row is scored" in page.get_by_role("alert").inner_text()
    page.get_by_role("button", name="Read as kaggle").click()
    finished(page, "heart.csv", 4)
    assert findings(page)["Codes read as"] == "kaggle"
    assert "&coding=kaggle" in page.get_by_label("The call as curl").inner_text()
    assert "--coding kaggle" in page.get_by_label("The command").inner_text()
    page.get_by_role("button", name="Take back: The codes are read as kaggle").click()
    page.get_by_role("heading", name="heart.csv was refused").wait_for()
    assert "coding" not in page.get_by_label("The call as curl").inner_text()


def test_an_unread_measurement_is_read_by_a_form(visit: Visit, playground: str) -> None:
    """Columns that could be fields are asked about, with what they could be chosen beforehand."""
    page = visit("#rows/heart")
    content = b'age,sex,"bp, at rest",dose\n57,1,140,3\n61,0,120,4\n'
    choose(page, "book.csv", content)
    page.get_by_role("heading", name="book.csv was refused").wait_for()
    pressure, dose = page.get_by_label("bp, at rest"), page.get_by_label("dose")
    assert (pressure.input_value(), dose.input_value()) == ("trestbps", "")
    dose.select_option("trestbps")
    page.get_by_role("button", name="Read it so").click()
    assert dose.evaluate("select => select.validationMessage") == (
        "This is chosen for another column already"
    )
    dose.select_option("leave it unread")
    page.get_by_role("button", name="Read it so").click()
    finished(page, "book.csv", 2)
    assert findings(page)["Read under another name"] == "bp, at rest as trestbps"
    assert page.get_by_label("Your choices for this file").inner_text().splitlines()[::2] == [
        "bp, at rest is read as trestbps",
        "dose is left unread",
    ]
    choices = {"map": json.dumps({"bp, at rest": "trestbps"}), "ignore": "dose"}
    answer = httpx.post(
        f"{playground}/{BATCH}",
        params=dict(httpx.URL(BATCH).params) | choices,
        content=content,
        headers={"content-type": CSV},
    )
    assert downloaded(page, "book-scored.csv") == answer.content
    choose(page, "other.csv", csv(patients(5)))
    finished(page, "other.csv", 5)
    assert page.get_by_label("Your choices for this file").count() == 0


def test_answers_are_compared_with_the_truth(visit: Visit) -> None:
    """A column chosen as the truth gives figures of discrimination, calibration and decisions."""
    page = visit("#rows/heart")
    lines = ["age,sex,cp,exang,outcome"]
    lines += [f"{70 - row},1,{4 if row % 3 else 2},{row % 2},{row % 3 and 1}" for row in range(30)]
    choose(page, "book.csv", "\n".join(lines).encode())
    page.get_by_label("outcome").select_option("the truth: what became of it")
    page.get_by_role("button", name="Read it so").click()
    page.get_by_text("In outcome, 1 or more is disease. It is yes in 20 of 30 rows.").wait_for()
    assert float(fact(page, "AUC")) > 0.5
    for term in ("Log-loss", "Expected calibration error"):
        assert 0 < float(fact(page, term)) < 2
    for term in ("Accuracy, from 0.5", "Sensitivity", "Specificity"):
        assert fact(page, term).endswith(" %")
    counts = [int(cell) for line in cells(page, "Truth by line") for cell in line[1:]]
    assert sum(counts) == 30
    assert sum(counts[:2]) == 20
    assert sum(int(line[-1]) for line in cells(page, "Calibration")) == 30
    page.get_by_role("button", name="Take back: outcome is the truth").click()
    page.get_by_role("heading", name="book.csv was refused").wait_for()


def test_a_column_that_is_no_truth_says_so(visit: Visit) -> None:
    """Values that are neither yes nor no are a remark, and the rows are scored all the same."""
    page = visit("#rows/heart")
    choose(page, "book.csv", csv(patients(12)))
    finished(page, "book.csv", 12)
    page.get_by_label("This column is the truth").select_option("account")
    page.get_by_role("button", name="Compare").click()
    page.get_by_text("No comparison: 'account' is no truth").wait_for()
    finished(page, "book.csv", 12)


def test_every_column_comes_back_unless_switched_off(visit: Visit, playground: str) -> None:
    """The scored file has all columns by default; without the switch, those that are no fields."""
    page = visit("#rows/heart")
    content = csv(patients(5))
    choose(page, "book.csv", content)
    finished(page, "book.csv", 5)
    names = downloaded(page, "book-scored.csv").splitlines()[0]
    assert names.startswith(b"account,age,sex,chol,thalach,probability")
    assert "&keep=all" in page.get_by_label("The call as curl").inner_text()
    page.get_by_label("Keep every column").uncheck()
    page.get_by_text("The scored file has no others").wait_for()
    names = downloaded(page, "book-scored.csv").splitlines()[0]
    assert names.startswith(b"account,probability")
    assert "keep" not in page.get_by_label("The call as curl").inner_text()
    assert "--keep others" in page.get_by_label("The command").inner_text()


FORMULAS = (
    '=name,note 2021,age,sex\n=1+1,-5,57,1\n"@a,""b",+1.5e3,61,0\n-x,"two\nlines",44,1\n,.5,50,1\n'
)


@pytest.mark.parametrize(("suffix", "media"), [("csv", CSV), ("tsv", "text/tab-separated-values")])
def test_cells_that_could_be_formulas_are_made_harmless(
    visit: Visit, playground: str, suffix: str, media: str
) -> None:
    """The page writes CSV and TSV as the service does, formulas harmless unless switched off."""
    page = visit("#rows/heart")
    content = FORMULAS.encode()
    if suffix == "tsv":
        content = FORMULAS.replace(",", "\t").encode()
    choose(page, f"book.{suffix}", content)
    finished(page, f"book.{suffix}", 4)

    def service(formulas: str) -> bytes:
        answer = httpx.post(
            f"{playground}/{BATCH}&formulas={formulas}",
            content=content,
            headers={"content-type": media},
        )
        return answer.content

    assert downloaded(page, f"book-scored.{suffix}") == service("escape")
    page.get_by_label("Make formulas harmless").uncheck()
    assert downloaded(page, f"book-scored.{suffix}") == service("keep")
    assert service("keep") != service("escape")
    assert "formulas" not in page.get_by_label("The call as curl").inner_text()
    assert "--formulas keep" in page.get_by_label("The command").inner_text()


@pytest.mark.parametrize(
    ("name", "scored"),
    [
        ("book.txt", "book-scored.csv"),
        ("BOOK.DAT", "BOOK-scored.csv"),
        ("book.csv.gz", "book-scored.csv"),
        ("a.b.data.gz", "a.b-scored.csv"),
    ],
)
def test_text_of_other_names_is_read(visit: Visit, name: str, scored: str) -> None:
    """Text comes under several suffixes, compressed or not, and goes back as CSV."""
    page = visit("#rows/heart")
    content = csv(patients(5))
    choose(page, name, gzip.compress(content) if name.endswith(".gz") else content)
    finished(page, name, 5)
    assert downloaded(page, scored).startswith(b"account,age,sex")


def test_a_workbook_comes_back_as_a_workbook(visit: Visit) -> None:
    """A sheet of Excel is scored, and its scored file is a workbook."""
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        sheet = book.add_worksheet()
        for place, row in enumerate([("account", "age", "sex"), ("0007", 57, 1), ("0008", 61, 0)]):
            sheet.write_row(place, 0, row)
    page = visit("#rows/heart")
    choose(page, "book.xlsx", file.getvalue())
    finished(page, "book.xlsx", 2)
    saved = downloaded(page, "book-scored.xlsx")
    rows = CalamineWorkbook.from_filelike(io.BytesIO(saved)).get_sheet_by_index(0).to_python()
    assert rows[0][:4] == ["account", "age", "sex", "probability"]
    assert [row[0] for row in rows[1:]] == ["0007", "0008"]


def test_large_numbers_keep_their_digits(visit: Visit) -> None:
    """An account of 18 digits is shown and comes back as it is, though floats would round it."""
    page = visit("#rows/heart")
    account = 123456789012345678
    choose(page, "book.ndjson", b'{"account": %d, "age": 57, "sex": 1}' % account)
    page.get_by_role("heading", name="book.ndjson: 1 row").wait_for()
    assert cells(page, "1 row of 1")[0][1] == str(account)
    assert json.loads(downloaded(page, "book-scored.ndjson"))["account"] == account


def test_a_large_file_leaves_the_page_alive(visit: Visit) -> None:
    """A web worker counts the answers, so the page's own thread goes on meanwhile."""
    page = visit("#rows/heart")
    page.evaluate(
        "window.longest = 0; window.before = performance.now();"
        "setInterval(() => { const now = performance.now();"
        "longest = Math.max(longest, now - before); before = now; }, 10)"
    )
    choose(page, "large.csv", csv(patients(200_000, bad=(123_456,))))
    page.evaluate("window.before = performance.now(); window.longest = 0")
    finished(page, "large.csv", 200_000)
    assert histogram(page) == 199_999
    assert cells(page, "Rows that could not be scored")[0][0] == "123,456"
    # To count them on the page's own thread would take longer than everything else.
    seconds = float(fact(page, "In").removesuffix(" s"))
    assert page.evaluate("longest") / 1000 < seconds / 2


def test_a_service_that_does_not_answer_is_an_error(visit: Visit) -> None:
    """The page says so in words, and can be used again once the service is back."""
    page = visit("#rows/heart")
    page.context.route("**/predict/batch*", lambda route: route.abort())
    choose(page, "book.csv", csv(patients(5)))
    page.get_by_role("heading", name="book.csv was refused").wait_for()
    assert "Is the service running?" in page.get_by_role("alert").inner_text()
    page.context.unroute_all()
    choose(page, "book.csv", csv(patients(5)))
    finished(page, "book.csv", 5)


def test_cancelling_frees_the_job_slot(visit: Visit) -> None:
    """A cancelled table frees its slot: the service scores two at once and refuses a third."""
    page = visit("#rows/heart")
    rows = [{"age": 57, "sex": 1, "id": row} for row in range(150_000)]
    content = "\n".join(map(json.dumps, rows)).encode()
    for _ in range(3):
        choose(page, "long.ndjson", content)
        page.get_by_role("button", name="Cancel").click()
        page.get_by_text("Cancelled: nothing was kept.").wait_for()
        assert page.get_by_role("progressbar").count() == 0
    choose(page, "book.csv", csv(patients(5)))
    finished(page, "book.csv", 5)


def test_another_model_of_the_task_can_be_asked(visit: Visit) -> None:
    """The chosen model answers, and the calls that are shown name it."""
    page = visit("#rows")
    page.get_by_label("What the rows are").select_option("Heart disease")
    page.get_by_label("Model").select_option("heart-mlp16")
    choose(page, "book.csv", csv(patients(5)))
    finished(page, "book.csv", 5)
    assert fact(page, "By") == "heart-mlp16/1"
    assert "&model=heart-mlp16" in page.get_by_label("The call as curl").inner_text()
    assert "--model heart-mlp16" in page.get_by_label("The command").inner_text()


def test_the_example_has_the_right_columns(visit: Visit) -> None:
    """Each task's example can be scored or downloaded; a few of its rows are bad on purpose."""
    page = visit("#rows")
    for task in ("Credit card default", "Heart disease"):
        page.get_by_label("What the rows are").select_option(task)
        page.get_by_role("button", name="Try 200 made-up rows").click()
        name = f"{'credit' if 'Credit' in task else 'heart'}-example.csv"
        finished(page, name, 200)
        assert (fact(page, "Scored"), fact(page, "Bad rows")) == ("195", "5")
        with page.expect_download() as saving:
            page.get_by_role("button", name="Download them as CSV").click()
        choose(page, "kept.csv", Path(saving.value.path()).read_bytes())
        finished(page, "kept.csv", 200)
        assert fact(page, "Bad rows") == "5"


def test_the_calls_that_are_shown_do_what_the_page_did(
    visit: Visit, playground: str, tmp_path: Path
) -> None:
    """curl, Python and the command, run in a folder with the file, write the same scored file."""
    page = visit("#rows/heart")
    content = csv(patients(50, bad=(9,)))
    (tmp_path / "my book.csv").write_bytes(content)
    choose(page, "my book.csv", content)
    finished(page, "my book.csv", 50)
    expected = answered(playground, content, CSV)
    scored = tmp_path / "my book-scored.csv"

    def ran(command: list[str]) -> bytes:
        scored.unlink(missing_ok=True)
        subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
        return scored.read_bytes()

    assert ran(["bash", "-c", page.get_by_label("The call as curl").inner_text()]) == expected
    page.get_by_role("tab", name="Python").click()
    assert ran([sys.executable, "-c", page.get_by_label("The call as Python").inner_text()]) == (
        expected
    )
    command = page.get_by_label("The command").inner_text()
    assert command.endswith("'my book.csv' -o 'my book-scored.csv' --on-error report")


def test_a_name_of_a_column_never_becomes_markup(visit: Visit) -> None:
    """No column name, value or file name becomes markup; row numbers stay in place."""
    page = visit("#rows/heart")
    evil = "<img src=x onerror=alert(1)>"
    choose(page, f"{evil}.csv", f"{evil},age,sex\n{evil},57,1\n".encode())
    page.get_by_role("heading", name=f"{evil}.csv: 1 row").wait_for()
    assert cells(page, "1 row of 1")[0][1] == evil


def test_rows_need_the_keyboard_only(visit: Visit) -> None:
    """Enter chooses the file, the results take the focus, and Tab leads on to the download."""
    page = visit("#rows/heart")
    choosing: list[Any] = []
    # `expect_file_chooser` would not do: it may begin to listen only after the key.
    page.on("filechooser", lambda chooser: choosing.append(chooser))
    page.get_by_label("Model").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    for _ in range(200):
        if not choosing:
            page.wait_for_timeout(50)
    choosing[0].set_files({"name": "book.csv", "mimeType": "", "buffer": csv(patients(30))})
    finished(page, "book.csv", 30)
    assert page.evaluate("document.activeElement.id") == "scored"
    focused: list[Any] = []
    for _ in range(4):
        page.keyboard.press("Tab")
        focused.append(page.evaluate("document.activeElement.textContent"))
    assert "Download book-scored.csv" in focused


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_results_are_accessible(visit: Visit, width: int, scheme: Scheme) -> None:
    """Results with all their parts pass on a desktop and a small phone, light and dark."""
    page = visit("#rows/heart", width=width, scheme=scheme)
    page.get_by_role("button", name="Try 200 made-up rows").click()
    finished(page, "heart-example.csv", 200)
    page.get_by_text("As a table").click()
    check_accessibility(page)
    check_width(page)
    picture(page, f"rows-scored-{width}-{scheme}")
    choose(page, "book.csv", b"sex\n1\n")
    page.get_by_role("alert").wait_for()
    check_accessibility(page)
    picture(page, f"rows-refused-{width}-{scheme}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_choices_about_a_table_are_accessible(visit: Visit, width: int, scheme: Scheme) -> None:
    """Buttons for codings, the form for columns and figures of truth pass on every screen."""
    page = visit("#rows/heart", width=width, scheme=scheme)
    choose(page, "heart.csv", KAGGLE)
    page.get_by_role("button", name="Read as kaggle").wait_for()
    check_accessibility(page)
    check_width(page)
    picture(page, f"rows-coding-{width}-{scheme}")
    page.get_by_role("button", name="Read as kaggle").click()
    page.get_by_label("This column is the truth").select_option("target")
    page.get_by_role("button", name="Compare").click()
    page.get_by_text("In target, 0 is disease").wait_for()
    check_accessibility(page)
    check_width(page)
    picture(page, f"rows-truth-{width}-{scheme}")
    choose(
        page, "book.csv", b"age,sex,a_very_long_name_of_a_column_with_resting_bp,b\n57,1,140,3\n"
    )
    page.get_by_role("button", name="Read it so").wait_for()
    check_accessibility(page)
    check_width(page)
    picture(page, f"rows-columns-{width}-{scheme}")
