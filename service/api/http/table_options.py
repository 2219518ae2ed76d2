"""The query parameters of a table, as /docs lists them, and what becomes of them."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Query, Request

from service.bulk.tables.options import (
    DELIMITERS,
    ENCODINGS,
    MOST_REASONS,
    NAMES,
    TableOptions,
    parse_options,
)
from service.contract.rows import RowTask

MapChoice = Annotated[
    list[str] | None,
    Query(
        alias="map",
        description="Reads a column as a field: `cholesterol=chol`. Several times, or as JSON: "
        '`{"cholesterol": "chol"}`.',
    ),
]
IgnoreChoice = Annotated[
    list[str] | None,
    Query(description="A column that is no field, several times for several; `*` is every other."),
]
CodingChoice = Annotated[
    str | None,
    Query(description="The coding of the table's codes, if it is not the contract's: `kaggle`."),
]
TruthChoice = Annotated[
    str | None,
    Query(
        description="The column that says what became true: AUC, log-loss, calibration and a "
        "confusion table come in the record of the end (`end=count`)."
    ),
]
KeepChoice = Annotated[
    str | None,
    Query(
        description="`others` (the default): columns that are no fields come back beside the "
        "answers. `all`: every column does."
    ),
]
FormulasChoice = Annotated[
    str | None,
    Query(
        description="`escape`: in CSV, cells of text that a spreadsheet would run as a formula "
        "get a ' in front. `keep` (the default): every cell comes back as it came."
    ),
]
EndChoice = Annotated[
    str | None,
    Query(
        description="`count`: NDJSON and CSV end with a record of how many rows there are, by "
        "which a reader knows that nothing is missing. Default: `none`."
    ),
]
ReasonsChoice = Annotated[
    str | None,
    Query(
        description=f"Up to {MOST_REASONS} columns with the main reasons of an adverse decision; "
        "tens of milliseconds a row."
    ),
]
DelimiterChoice = Annotated[
    str | None, Query(description=f"Of CSV: {', '.join(DELIMITERS)}. By default found out.")
]
DecimalChoice = Annotated[
    str | None, Query(description="Of CSV: `point` or `comma`. By default found out.")
]
EncodingChoice = Annotated[
    str | None, Query(description=f"Of text: {', '.join(ENCODINGS)}. By default found out.")
]
HeaderChoice = Annotated[
    str | None,
    Query(
        description="`none`: the table has no line of names, and its columns are in the known "
        "order. `names`: it has one. By default found out."
    ),
]
SheetChoice = Annotated[
    str | None,
    Query(description="Of Excel: the sheet, by name or number. By default the first with rows."),
]


def table_options(task: RowTask) -> Callable[..., TableOptions]:
    """Return the dependency of a route that reads a task's tables: its options."""

    def options(
        request: Request,
        mapped: MapChoice = None,
        ignore: IgnoreChoice = None,
        coding: CodingChoice = None,
        truth: TruthChoice = None,
        keep: KeepChoice = None,
        formulas: FormulasChoice = None,
        end: EndChoice = None,
        reasons: ReasonsChoice = None,
        delimiter: DelimiterChoice = None,
        decimal: DecimalChoice = None,
        encoding: EncodingChoice = None,
        header: HeaderChoice = None,
        sheet: SheetChoice = None,
    ) -> TableOptions:
        """Return the options of a request. Raises InvalidPayload."""
        # In the order in which they came: of `map`, a later one counts.
        given = request.query_params.multi_items()
        return parse_options(task, [(name, text) for name, text in given if name in NAMES])

    return options
