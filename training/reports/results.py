"""Tables that compare a task's recipes by their cards: docs/method/results.md, reports, `train`."""

from collections.abc import Sequence
from pathlib import Path

from service.models.artifacts.artifact import MODEL, read_artifact
from service.models.artifacts.card import Card
from service.models.artifacts.folder import some_names
from training.markdown import markdown

HEAD = """# Results

Written by `make train`: `foretell train --all`, then
`foretell results --output docs/method/results.md`.
Every figure is of the exported ONNX graph, measured once, on the test part named under each table.
The recipe that a task serves by default is in bold. Recipes that keep no validation part apart
(`validates=False`: digits' `cnn`, heart's `mlp16-ensemble`) learn from the training and validation
rows together. Seconds are those of fitting; µs is the latency of one row on one thread; both on the
machine that trained.
"""
COLUMNS = (
    "recipe",
    "parameters",
    "epochs",
    "seconds",
    "KB",
    "µs",
    "accuracy",
    "AUC",
    "log-loss",
    "Brier",
)


def format_table(cards: Sequence[Card], models_dir: Path) -> str:
    """Format a Markdown table with a line for each card, default recipes in bold."""
    rows = [
        (f"**{recipe}**" if card.name == card.task else recipe, *figures)
        for card, (recipe, *figures) in zip(cards, comparison(cards, models_dir), strict=True)
    ]
    return markdown(COLUMNS, rows)


def comparison(cards: Sequence[Card], models_dir: Path) -> list[tuple[str, ...]]:
    """Return a line for each card: the cells of `COLUMNS`."""
    return [_row(card, models_dir) for card in cards]


def select_task(cards: Sequence[Card], task: str) -> list[Card]:
    """Return the cards of one task, sorted by accuracy, the best last."""
    return sorted((c for c in cards if c.task == task), key=lambda c: c.metrics["accuracy"])


def results_page(models_dir: Path) -> str:
    """Format docs/method/results.md: a table for each task, with the data and the split.

    Every model in the folder has a line, for its newest version. Raises ArtifactError if there is
    none, or a card cannot be read.
    """
    cards = [read_artifact(models_dir, name).card for name in some_names(models_dir)]
    sections = [HEAD]
    for task in dict.fromkeys(card.task for card in cards):
        recipes = select_task(cards, task)
        data = recipes[0].data
        rows = ", ".join(f"{count:,} {part}" for part, count in data.rows.items())
        unpublished = "" if data.published else " **Not the published data.**"
        sections.append(
            f"## {recipes[0].title}\n\n{format_table(recipes, models_dir)}\n\n"
            f"{data.name}: {rows}. Split: {data.split}.{unpublished}\n"
        )
    return "\n".join(sections)


def kilobytes(card: Card, models_dir: Path) -> float:
    """Return the size of a model's ONNX file in KB (1,000 bytes)."""
    return (models_dir / card.name / card.version / MODEL).stat().st_size / 1000


def _row(card: Card, models_dir: Path) -> tuple[str, ...]:
    metrics = [card.metrics.get(name) for name in ("accuracy", "auc", "log_loss", "brier")]
    return (
        card.training.recipe,
        f"{card.training.parameters:,}",
        str(card.training.epochs),
        f"{card.training.seconds:.0f}",
        f"{kilobytes(card, models_dir):.0f}",
        f"{card.training.latency_us:.0f}",
        *("" if value is None else f"{value:.4f}" for value in metrics),
    )
