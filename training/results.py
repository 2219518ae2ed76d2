"""docs/results.md and the table at the end of a training run, both from cards."""

from collections.abc import Sequence
from pathlib import Path

from service.artifact import MODEL, Card, read_artifact, some_names

HEAD = """# Results

Written by `make train`: `foretell train --all`, then `foretell results --output docs/results.md`.
Every figure is of the exported ONNX graph, measured once, on the test part named under each table.
The recipe that a task serves by default is in bold. Seconds are those of fitting.
"""
COLUMNS = (
    "recipe",
    "parameters",
    "epochs",
    "seconds",
    "KB",
    "accuracy",
    "AUC",
    "log-loss",
    "Brier",
)


def table(cards: Sequence[Card], models_dir: Path) -> str:
    """A Markdown table, readable as it is, with a line for each card."""
    rows = [COLUMNS, *(_row(card, models_dir) for card in cards)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    lines = [
        "| " + " | ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 1) + ":" for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def results_page(models_dir: Path) -> str:
    """The whole of docs/results.md: a table for each task, with the data and the split.

    Every model in the folder has a line, by its newest version. Raises ArtifactError if there is
    none, or a card cannot be read.
    """
    cards = [read_artifact(models_dir, name).card for name in some_names(models_dir)]
    sections = [HEAD]
    for task in dict.fromkeys(card.task for card in cards):
        of_task = sorted(
            (card for card in cards if card.task == task), key=lambda c: c.metrics["accuracy"]
        )
        data = of_task[0].data
        rows = ", ".join(f"{count:,} {part}" for part, count in data.rows.items())
        unpublished = "" if data.published else " **Not the published data.**"
        sections.append(
            f"## {of_task[0].title}\n\n{table(of_task, models_dir)}\n\n"
            f"{data.name}: {rows}. Split: {data.split}.{unpublished}\n"
        )
    return "\n".join(sections)


def _row(card: Card, models_dir: Path) -> tuple[str, ...]:
    size = (models_dir / card.name / card.version / MODEL).stat().st_size
    metrics = [card.metrics.get(name) for name in ("accuracy", "auc", "log_loss", "brier")]
    recipe = card.training.recipe
    return (
        f"**{recipe}**" if card.name == card.task else recipe,
        f"{card.training.parameters:,}",
        str(card.training.epochs),
        f"{card.training.seconds:.0f}",
        f"{size / 1000:.0f}",
        *("" if value is None else f"{value:.4f}" for value in metrics),
    )
