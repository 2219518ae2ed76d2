"""The mistakes of a whole table, put together over its chunks."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from service.bulk.tables.validation import MOST_EXAMPLES
from service.errors import RowMistake

MOST_MISTAKES = 100


@dataclass
class Mistakes:
    """Mistakes by field and by what was expected: a thousand rows with one mistake are one."""

    _found: dict[tuple[str, str], RowMistake] = field(default_factory=dict)

    def add(self, mistakes: Iterable[RowMistake]) -> None:
        """Add those of the next rows."""
        for mistake in mistakes:
            name = (mistake.field, mistake.expected)
            if before := self._found.get(name):
                examples = (*before.examples, *mistake.examples)[:MOST_EXAMPLES]
                count = before.count + mistake.count
                self._found[name] = replace(before, count=count, examples=examples)
            elif len(self._found) < MOST_MISTAKES:
                self._found[name] = mistake

    @property
    def all(self) -> list[RowMistake]:
        """The mistakes, those that come first in the table first."""
        return sorted(self._found.values(), key=lambda mistake: mistake.examples[0][0])
