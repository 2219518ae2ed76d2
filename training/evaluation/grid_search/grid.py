"""The parameters of a recipe that can be varied, and a grid of them from the command line."""

import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from service.errors import ForetellError
from training.recipe import Recipe, TaskTraining

Value = int | float | None
Values = dict[str, Value]
"""The value of each parameter, by its name."""


class BadGrid(ForetellError):
    """A grid names a parameter that does not exist, or values out of its range."""


@dataclass(frozen=True)
class Parameter:
    """A number of a recipe, of its network function or of its optimizer function."""

    name: str
    home: str
    """The owner: recipe, network or optimizer."""
    present: Value
    kind: type[int] | type[float]
    low: float = 0
    below: float = math.inf
    optional: bool = False

    @property
    def expected(self) -> str:
        """The range of values in words."""
        number = "a whole number" if self.kind is int else "a number"
        limit = f" and below {self.below:g}" if self.below < math.inf else ""
        return f"{number} from {self.low:g}{limit}{', or none' if self.optional else ''}"

    def parse(self, text: str) -> Value:
        """Parse a value as written on a command line. Raises BadGrid if it is out of range."""
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
    """List the parameters: numbers of the recipe, keywords of its network and optimizer."""
    own = [
        Parameter("epochs", "recipe", recipe.epochs, int, low=1),
        Parameter("batch_size", "recipe", recipe.batch_size, int, low=1),
        Parameter("patience", "recipe", recipe.patience, int, low=1, optional=True),
    ]
    # The optimizers of other recipes may depend on the scale of a loss: see stack_members.
    if recipe.members > 1:
        own.append(Parameter("members", "recipe", recipe.members, int, low=1))
    if training.task.contract.labels:  # it has no effect on yes or no
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
    """Parse values by parameter from texts `name=v1,v2`.

    Raises BadGrid for an unknown, ambiguous or repeated parameter, for a value that is out of range
    or repeated, and for one that the network or the optimizer cannot be built with.
    """
    grid: dict[str, list[Value]] = {}
    for text in texts:
        name, equals, listed = text.partition("=")
        if not equals or not all(values := [one.strip() for one in listed.split(",")]):
            raise BadGrid(f"expected name=value,value,… got {text!r}")
        if name in grid:
            raise BadGrid(f"{name} is given twice")
        matches = [parameter for parameter in parameters if parameter.name == name]
        if not matches and name == "members":
            raise BadGrid(
                "members: the recipe has one network; only recipes of several, whose optimizers "
                "fit each as if it were alone, can vary how many"
            )
        if not matches:
            known = ", ".join(f"{p.name} (now {format_value(p.present)})" for p in parameters)
            raise BadGrid(f"unknown parameter {name!r}; there are: {known}")
        if len(matches) > 1:
            homes = " and ".join(parameter.home for parameter in matches)
            raise BadGrid(f"{name} is ambiguous: {homes} have it; rename it in one of them")
        grid[name] = [matches[0].parse(one) for one in values]
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
    """List every combination of values; the last parameter changes fastest."""
    return [dict(zip(grid, chosen, strict=True)) for chosen in itertools.product(*grid.values())]


def with_values(recipe: Recipe, parameters: Sequence[Parameter], values: Values) -> Recipe:
    """Return the recipe with other values, and with the number of parameters that its network has.

    With `patience` it keeps the validation split apart, because early stopping needs it. The
    temperature factor belongs to the recipe's own label smoothing: with another it is 1.
    """

    def of(home: str) -> dict[str, Any]:
        names = [parameter.name for parameter in parameters if parameter.home == home]
        return {name: values[name] for name in names if name in values}

    network = partial(recipe.network, **of("network"))
    same_smoothing = values.get("label_smoothing", recipe.label_smoothing) == recipe.label_smoothing
    return replace(
        recipe,
        network=network,
        parameters=network().count_params(),
        optimizer=partial(recipe.optimizer, **of("optimizer")),
        validates=recipe.validates or values.get("patience") is not None,
        temperature_factor=recipe.temperature_factor if same_smoothing else 1.0,
        **of("recipe"),
    )


def format_value(value: Value) -> str:
    """Format a value as written on the command line."""
    return "none" if value is None else str(value)
