"""Rounds of one request against several servers, of which one runs at a time."""

import json
import statistics
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnxruntime as ort
from pydantic import BaseModel, ConfigDict

from benchmarks.contenders import Contender
from benchmarks.environments import Unavailable
from benchmarks.load import Load, LoadFailed, drive
from benchmarks.servers import running
from service.models.artifacts.artifact import read_artifact
from service.settings.settings import Settings
from service.tasks.heart import TASK, Patient

MANY = 16
CLOSE = 1e-6  # every server answers the same float32 with all its digits
Medians = dict[str, float]


@dataclass(frozen=True)
class Question:
    """The request to every server, and the probability that it has to answer to be measured."""

    payload: Any
    """An object that is sent as JSON, or the bytes of a body."""
    probability: float
    content_type: str = "application/json"


class Round(BaseModel):
    """The figures of one server in one round."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ready_seconds: float
    memory_mb: float | None
    many: Load
    """The load over 16 connections."""
    alone: Load
    """The load over one connection."""


def heart_row() -> Question:
    """Return the example of the documentation, and ONNX Runtime's probability for it."""
    extra = Patient.model_config["json_schema_extra"]
    assert isinstance(extra, dict)
    row = TASK.to_array([Patient.model_validate(extra["example"])])
    model = read_artifact(Settings().models_dir, "heart").model
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    probability = session.run(["probability"], {"features": row})[0][0]
    return Question(extra["example"], float(probability))


def answer(contender: Contender, port: int, body: bytes, content_type: str) -> float | None:
    """Return the probability that a server answers; None while it does not answer with 200."""
    url = f"http://127.0.0.1:{port}{contender.path}"
    request = urllib.request.Request(url, body, {"Content-Type": content_type})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return contender.find(json.load(response))
    except OSError:  # includes urllib's HTTPError
        return None


def measure(contender: Contender, question: Question, seconds: int) -> Round:
    """Measure a server once. Raises Unavailable (for a wrong answer, too) or LoadFailed."""
    body, kind = contender.body(question.payload), question.content_type

    def answers(port: int) -> bool:
        got = answer(contender, port, body, kind)
        if got is not None and abs(got - question.probability) > CLOSE:
            raise Unavailable(f"it answers {got}, ONNX Runtime alone {question.probability}")
        return got is not None

    with running(
        contender.command(),
        answers,
        folder=contender.folder,
        variables=contender.environment(),
    ) as server:
        url = f"http://127.0.0.1:{server.port}{contender.path}"
        drive(url, body, kind, connections=MANY, seconds=1)
        return Round(
            ready_seconds=server.ready_seconds,
            many=drive(url, body, kind, connections=MANY, seconds=seconds),
            alone=drive(url, body, kind, connections=1, seconds=seconds),
            memory_mb=server.memory_mb(),
        )


def medians(rounds: Sequence[Round]) -> Medians:
    """Return the median of each figure over the rounds, and the least and greatest rate."""
    figures = {
        "rate": [each.many.rate for each in rounds],
        "many_p50_ms": [each.many.p50_ms for each in rounds],
        "many_p90_ms": [each.many.p90_ms for each in rounds],
        "many_p99_ms": [each.many.p99_ms for each in rounds],
        "alone_rate": [each.alone.rate for each in rounds],
        "alone_p50_ms": [each.alone.p50_ms for each in rounds],
        "alone_p99_ms": [each.alone.p99_ms for each in rounds],
        "ready_seconds": [each.ready_seconds for each in rounds],
        "memory_mb": [each.memory_mb for each in rounds if each.memory_mb],
    }
    middles = {name: statistics.median(values) for name, values in figures.items() if values}
    return middles | {"rate_low": min(figures["rate"]), "rate_high": max(figures["rate"])}


def compare(
    entered: Sequence[Contender], question: Question, rounds: int, seconds: int
) -> tuple[dict[str, list[Round]], dict[str, str]]:
    """Run all rounds of all servers.

    Returns the rounds by name, and the last reason of each server that failed in every round.
    """
    measured: dict[str, list[Round]] = {}
    failed: dict[str, str] = {}
    for _ in range(rounds):
        for contender in entered:
            try:
                one = measure(contender, question, seconds)
            except (Unavailable, LoadFailed) as reason:
                failed[contender.name] = str(reason)
                print(f"{contender.name}: {reason}", flush=True)
                continue
            measured.setdefault(contender.name, []).append(one)
            print(f"{contender.name:14} {described(one)}", flush=True)
    return measured, {name: reason for name, reason in failed.items() if name not in measured}


def described(one: Round) -> str:
    """Return the figures of a round as a line."""
    return (
        f"{one.many.rate:8,.0f} requests/s  p99 {one.many.p99_ms:.2f} ms  "
        f"alone p50 {one.alone.p50_ms * 1000:,.0f} µs  ready {one.ready_seconds:.1f} s"
    )
