"""The front page."""

from html import escape

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from service.task import Task

router = APIRouter(include_in_schema=False)

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Foretell</title>
<style>
  :root {{ color-scheme: light dark }}
  body {{ font: 1.05rem/1.6 system-ui, sans-serif; max-width: 42rem;
         margin: 3rem auto; padding: 0 1rem }}
  code {{ font-size: .95em }}
</style>
<h1>Foretell</h1>
<p>Probabilities for patients and card clients; digits and garments told from pictures.</p>
<ul>{tasks}</ul>
<p><a href="docs">Try it in the docs</a> · <a href="openapi.json">OpenAPI schema</a> ·
<a href="v1/models">Models and their cards</a> · <a href="readyz">Is it ready?</a></p>
</html>
"""


@router.get("/", response_class=HTMLResponse)
async def home(request: Request) -> str:
    """A short page that says what is here."""
    tasks: list[Task] = list(request.app.state.repository.tasks.values())
    items = (
        f"<li>{escape(task.title)}: <code>POST /v1/{escape(task.name)}/predict</code></li>"
        for task in tasks
    )
    return PAGE.format(tasks="".join(items))
