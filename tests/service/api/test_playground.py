"""The playground's files, as HTTP; what a person does with them is in tests/browser."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.api.http.playground import FOLDER
from service.settings.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted(
    path.relative_to(FOLDER).as_posix()
    for path in FOLDER.rglob("*")
    if path.suffix in {".css", ".js", ".svg"}
)


def test_the_page_loads_nothing_from_elsewhere(client: TestClient) -> None:
    """It works in a closed network, and under a root path: every address in it is relative."""
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert {"docs", "openapi.json", "playground/main.js"} <= set(addresses)
    for address in addresses:
        assert not address.startswith(("/", "http"))
        if not address.startswith("#"):
            assert client.get(f"/{address}").status_code == 200


def test_no_inline_script_or_style(client: TestClient) -> None:
    """The policy forbids them, so a page that had some would be broken."""
    page = client.get("/").text
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)


@pytest.mark.parametrize("path", ["/", *(f"/playground/{name}" for name in FILES)])
def test_files_are_sent_with_their_policy_and_type(client: TestClient, path: str) -> None:
    """A browser believes the type that is declared, and runs only what comes from here."""
    answer = client.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    if path.endswith(".js"):
        assert answer.headers["content-type"].startswith("text/javascript")


def test_the_policy_is_the_playgrounds_alone(client: TestClient) -> None:
    """/docs has inline scripts of its own, and goes on working."""
    assert "content-security-policy" not in client.get("/docs").headers


def test_who_has_a_file_is_told_so(client: TestClient) -> None:
    """A browser asks each time, and gets the file again only once it has changed."""
    first = client.get("/playground/main.js")
    assert first.headers["cache-control"] == "no-cache"
    again = client.get("/playground/main.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    # As a proxy that packs answers weakens it.
    weak = {"if-none-match": f'"other", W/{first.headers["etag"]}'}
    assert client.get("/playground/main.js", headers=weak).status_code == 304
    other = client.get("/playground/main.js", headers={"if-none-match": '"other"'})
    assert other.content == first.content
    head = client.head("/playground/main.js")
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nothing.js",
        "panels",
        "__init__.py",
        "index.html",
        "../app.py",
        "%2e%2e/app.py",
        "..%2fapp.py",
        "panels/..%2f..%2fapp.py",
        "%2fetc%2fpasswd",
        "main.js%00",
    ],
)
def test_nothing_else_can_be_read(client: TestClient, name: str) -> None:
    """Names are looked up among the files read at start; none becomes a path on disk."""
    answer = client.get(f"/playground/{name}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_under_a_root_path(models_dir: Path) -> None:
    """Behind a proxy that takes a prefix off, or one that leaves it on."""
    app = create_app(Settings(models_dir=models_dir, device="cpu"))
    client = TestClient(app, root_path="/foretell")
    for prefix in ("", "/foretell"):
        assert "playground/main.js" in client.get(f"{prefix}/").text
        assert client.get(f"{prefix}/playground/main.js").status_code == 200


def test_a_wheel_holds_the_files(tmp_path: Path) -> None:
    """A wheel has the files of the playground."""
    code = (
        "import hatchling.build, os, sys; os.chdir(sys.argv[1]); "
        "print(hatchling.build.build_wheel(sys.argv[2]))"
    )
    built = subprocess.run(
        [sys.executable, "-c", code, ROOT, tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    with zipfile.ZipFile(tmp_path / built.stdout.split()[-1]) as wheel:
        names = set(wheel.namelist())
    assert {f"service/api/playground/{name}" for name in ["index.html", *FILES]} <= names
