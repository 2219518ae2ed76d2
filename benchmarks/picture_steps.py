"""A profile of decoding a picture: microseconds of each function of service/images/pixels.

    python benchmarks/picture_steps.py [--data ../shared/data]

A canvas, a 12-megapixel photo, and the real pictures of `drawn/` and `hwd-1000/`. The time of a
function is processor time of its thread, without the functions of images.pixels that it calls.
"""

import argparse
import inspect
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pictures  # beside this file; makes `service` importable

import service.images.pixels

STEPS = ("decode", "plain", "paper", "strokes", "ink", "frame")
# Imported by their full names, because the package has a function `decode`, too.
NAMES = ("service.images.pixels", *(f"service.images.pixels.{module}" for module in STEPS))
MODULES = tuple(import_module(name) for name in NAMES)
SECONDS = 2.0
spent: Counter[str] = Counter()  # nanoseconds
inner: list[int] = []


def timed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function so that it adds its own time to `spent`."""
    name = f"{function.__module__.removeprefix('service.')}.{function.__name__}"

    def call(*arguments: Any, **options: Any) -> Any:
        start = time.thread_time_ns()
        inner.append(0)
        try:
            return function(*arguments, **options)
        finally:
            took = time.thread_time_ns() - start
            spent[name] += took - inner.pop()
            if inner:
                inner[-1] += took

    return call


def instrument() -> None:
    """Replace every function of service/images/pixels in each module that has its name."""
    replaced: dict[Callable[..., Any], Callable[..., Any]] = {}
    for module in MODULES:
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__.startswith("service.images.pixels"):
                setattr(module, name, replaced.setdefault(function, timed(function)))


def report(name: str, encoded: Sequence[bytes]) -> None:
    """Decode the pictures in turn for two seconds, at least once each; print the slowest steps."""
    for picture in encoded[:3]:
        service.images.pixels.read_digit(picture)
    spent.clear()
    read, until = 0, time.perf_counter() + SECONDS
    while time.perf_counter() < until or read < len(encoded):
        service.images.pixels.read_digit(encoded[read % len(encoded)])
        read += 1
    print(f"{name}: {sum(spent.values()) / read / 1000:.0f} us a picture, {read} read")
    for step, took in spent.most_common(12):
        print(f"    {step:32} {took / read / 1000:9.1f} us")


def main() -> None:
    """Print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--data", type=Path, default=pictures.ROOT.parent / "shared/data")
    data = arguments.parse_args().data
    made = pictures.timed_pictures()
    instrument()
    for name, encoded in made.items():
        report(name, [encoded])
    report("drawn", [sample.encoded for sample in pictures.drawn(data)])
    report("hwd-1000", [sample.encoded for sample in pictures.hwd(data)])


if __name__ == "__main__":
    main()
