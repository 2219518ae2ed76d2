"""What of a recipe can be varied, and a grid of it from the command line."""

import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from service.contract.task import TabularTask
from service.errors import ForetellError
from training.recipe import Recipe, TaskTraining

Value = int | float | None
Values = dict[str, Value]
"""A value for each parameter, by its name."""


class BadGrid(ForetellError):
    """A grid that names what does not exist, or values that cannot be."""


@dataclass(frozen=True)
class Parameter:
    """A number of a recipe, of its network function or of its optimizer function."""

    name: str
    home: str
    """Whose it is: recipe, network or optimizer."""
    present: Value
    kind: type[int] | type[float]
    low: float = 0
    below: float = math.inf
    optional: bool = False

    @property
    def expected(self) -> str:
        """What values may be, in words."""
        number = "a whole number" if self.kind is int else "a number"
        limit = f" and below {self.below:g}" if self.below < math.inf else ""
        return f"{number} from {self.low:g}{limit}{', or none' if self.optional else ''}"

    def parse(self, text: str) -> Value:
        """A value as it is written on a command line. Raises BadGrid if it cannot be one."""
        if self.optional and text.lower() == "none":
            return None
        try:
            value = self.kind(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and self.low <= value < self.below):
            raise BadGrid(f"{self.name}: expected {self.expected}, got {text!r}")
        return value


def list_parameters(training: TaskTraining, recipe: Recipe) -> list[Parameter]:
    """All that can be varied: numbers of the recipe, keywords of its network and optimizer."""
    own = [
        Parameter("epochs", "recipe", recipe.epochs, int, low=1),
        Parameter("batch_size", "recipe", recipe.batch_size, int, low=1),
        Parameter("patience", "recipe", recipe.patience, int, low=1, optional=True),
    ]
    if recipe.members > 1:  # others' optimizers may depend on the scale of a loss: see side_by_side
        own.append(Parameter("members", "recipe", recipe.members, int, low=1))
    if not isinstance(training.task, TabularTask):  # it says nothing of two classes
        smoothing = recipe.label_smoothing
        own.append(Parameter("label_smoothing", "recipe", smoothing, float, below=1))
    return [*own, *_keywords("network", recipe.network), *_keywords("optimizer", recipe.optimizer)]


def _keywords(home: str, function: Callable[..., Any]) -> Iterator[Parameter]:
    for parameter in inspect.signature(function).parameters.values():
        kind = type(parameter.default)
        if kind is int or kind is float:
            yield Parameter(parameter.name, home, parameter.default, kind)


def parse_grid(
    texts: Sequence[str], recipe: Recipe, parameters: Sequence[Parameter]
) -> dict[str, list[Value]]:
    """Values by parameter, from `name=v1,v2`.

    Raises BadGrid for an unknown, ambiguous or repeated parameter, for a value that cannot be or is
    repeated, and for one that the network or the optimizer cannot be made with.
    """
    grid: dict[str, list[Value]] = {}
    for text in texts:
        name, equals, listed = text.partition("=")
        if not equals or not all(written := [one.strip() for one in listed.split(",")]):
            raise BadGrid(f"expected name=value,value,… got {text!r}")
        if name in grid:
            raise BadGrid(f"{name} is given twice")
        found = [parameter for parameter in parameters if parameter.name == name]
        if not found and name == "members":
            raise BadGrid(
                "members: the recipe has one network; only recipes of several, whose optimizers "
                "fit each as if it were alone, can vary how many"
            )
        if not found:
            known = ", ".join(f"{p.name} (now {format_value(p.present)})" for p in parameters)
            raise BadGrid(f"unknown parameter {name!r}; there are: {known}")
        if len(found) > 1:
            homes = " and ".join(parameter.home for parameter in found)
            raise BadGrid(f"{name} is ambiguous: {homes} have it; rename it in one of them")
        grid[name] = [found[0].parse(one) for one in written]
        for value in grid[name]:
            if grid[name].count(value) > 1:
                raise BadGrid(f"{name}: {format_value(value)} is given twice")
            _try_out(recipe, parameters, name, value)
    return grid


def _try_out(recipe: Recipe, parameters: Sequence[Parameter], name: str, value: Value) -> None:
    try:
        with_values(recipe, parameters, {name: value}).optimizer(1_000)
    except (ValueError, TypeError) as error:  # as Keras' layers and optimizers raise them
        raise BadGrid(f"{name}={format_value(value)}: {error}") from error


def list_cells(grid: Mapping[str, Sequence[Value]]) -> list[Values]:
    """Every combination; the last parameter changes fastest."""
    return [dict(zip(grid, chosen, strict=True)) for chosen in itertools.product(*grid.values())]


def with_values(recipe: Recipe, parameters: Sequence[Parameter], values: Values) -> Recipe:
    """The recipe with other values; how many parameters its network has is counted anew.

    With `patience` it keeps a validation part apart, which is what it waits for. Its temperature
    factor belongs to its own label smoothing: with another, answers stay as they are.
    """

    def of(home: str) -> dict[str, Any]:
        names = [parameter.name for parameter in parameters if parameter.home == home]
        return {name: values[name] for name in names if name in values}

    network = partial(recipe.network, **of("network"))
    smoothed_alike = values.get("label_smoothing", recipe.label_smoothing) == recipe.label_smoothing
    return replace(
        recipe,
        network=network,
        parameters=network().count_params(),
        optimizer=partial(recipe.optimizer, **of("optimizer")),
        validates=recipe.validates or values.get("patience") is not None,
        temperature_factor=recipe.temperature_factor if smoothed_alike else 1.0,
        **of("recipe"),
    )


def format_value(value: Value) -> str:
    """As it is written on the command line."""
    return "none" if value is None else str(value)
