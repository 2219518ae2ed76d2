"""The pages: every relative link leads to a file that is there, every anchor to a heading."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = frozenset({".git", ".venv", ".venv-full", "shared", "node_modules", "reports"})
PAGES = sorted(
    page
    for page in ROOT.rglob("*.md")
    if not LEFT_OUT & set(page.relative_to(ROOT).parts) and not page.is_symlink()
)
LINK = re.compile(r"\]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^#{1,6} +(.*?) *#*$", re.MULTILINE)


def prose(text: str) -> str:
    """Return `text` without code: neither fenced blocks nor what stands in backticks."""
    text = re.sub(r"^( *)(```|~~~).*?^\1\2", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, made as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    found: set[str] = set()
    for heading in HEADING.findall(text):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = sum(known == slug or bool(re.fullmatch(f"{slug}-\\d+", known)) for known in found)
        found.add(f"{slug}-{number}" if number else slug)
    return found


def broken_links(page: Path) -> list[str]:
    """Return the relative links of a page that lead nowhere."""
    broken = []
    for link in LINK.findall(prose(page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """Relative links alone: what lies elsewhere on the web is not asked."""
    assert broken_links(page) == []


def test_every_page_is_in_the_index() -> None:
    """docs/README.md names each page of docs/."""
    index = ROOT / "docs" / "README.md"
    linked = {
        (index.parent / link.partition("#")[0]).resolve()
        for link in LINK.findall(index.read_text("utf-8"))
        if "://" not in link
    }
    pages = {page for page in PAGES if index.parent in page.parents}
    assert pages - {index} - linked == set()


@pytest.mark.parametrize("link", ["missing.md", "there.md#nothing", "#nothing"])
def test_a_link_that_leads_nowhere_is_found(link: str, tmp_path: Path) -> None:
    """A file that is not there, and a heading that is not in it."""
    (tmp_path / "there.md").write_text("# There is\n\n## A `code` heading: 2\n")
    page = tmp_path / "page.md"
    good = "[b](there.md#a-code-heading-2) [c](#page) `[d](e.md)`"
    page.write_text(f"# Page\n\n[a]({link}) {good}\n")
    assert broken_links(page) == [link]
