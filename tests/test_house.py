"""The rules of the house that ruff, mypy and import-linter cannot say."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(
    path
    for folder in ("service", "training", "tests", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)
NO_VERBS = frozenset({"What", "Whether", "Of", "As", "Who", "How", "Which", "Why", "Those", "That"})
"""Words that no docstring begins with: a sentence with one lacks its subject or its verb."""


def imports_of(path: Path) -> Iterator[str]:
    """Yield the module of every import in a file, with the name where one is imported from it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers_of(module: str, folder: str) -> set[str]:
    """Return the files of a folder that import a module or something from it."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*.py")
        if any(name == module or name.startswith(f"{module}.") for name in imports_of(path))
    }


def test_observability_knows_types_of_starlette_alone() -> None:
    """Observability imports `starlette.types` only; import-linter cannot tell modules apart."""
    starlette = {
        name
        for path in (ROOT / "service/observability").rglob("*.py")
        for name in imports_of(path)
        if name.startswith("starlette")
    }
    assert all(name.startswith("starlette.types.") for name in starlette), starlette


def test_protocols_of_uvicorn_are_overridden_in_two_files() -> None:
    """Only `fast_http` and `http_guards` override them, so `fast_http` can be deleted."""
    found = importers_of("uvicorn.protocols", "service")
    assert found <= {"service/server/fast_http.py", "service/server/http_guards.py"}


def docstrings_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of every docstring of a module, a class or a function."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield node.body[0].lineno, text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_docstrings_begin_with_a_verb_or_a_subject(path: Path) -> None:
    """No docstring begins with "What", "Whether", "Of" or another word of NO_VERBS."""
    riddles = [
        f"{line}: {text.splitlines()[0]}"
        for line, text in docstrings_of(path)
        if text.split()[0].rstrip(",:;.") in NO_VERBS
    ]
    assert not riddles, "\n".join(riddles)
