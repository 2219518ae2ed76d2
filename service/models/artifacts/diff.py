"""The differences of two versions as text: metrics, card, contract, and graph."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from difflib import unified_diff
from typing import Any

from service.errors import ArtifactError
from service.models.artifacts.artifact import SIGNATURE, Artifact
from service.models.artifacts.card import Card

LONGEST = 110
# Keras and tf2onnx number the layers that a process has made: dense_1 in one file, dense_7 in the
# next, for the same layer.
COUNTERS = re.compile(r'(?:_+\d+)+(?=[/":,\])\s]|$)')

NODE_NAME = re.compile(r"^ +\[[^\]]*\] ")


def differences(one: Artifact, other: Artifact) -> Iterator[str]:
    """Yield lines of text: `metrics` with the change, then everything else that differs."""
    names = [f"{a.card.name}/{a.card.version}" for a in (one, other)]
    yield from _metrics(one.card, other.card, names)
    yield from _section("training and data", _facts(one.card), _facts(other.card))
    yield from _section("confidence", _confidence(one.card), _confidence(other.card))
    yield from _section("contract", _contract(one.card), _contract(other.card))
    graph, changed = _graph(one), _graph(other)
    yield from _section("nodes of the graph", _nodes(graph), _nodes(changed))
    changes = list(unified_diff(graph, changed, names[0], names[1], n=0, lineterm=""))
    yield f"graph: {'as text' if changes else 'the same'}"
    yield from (f"  {line}" for line in changes)


def _metrics(one: Card, other: Card, names: list[str]) -> Iterator[str]:
    yield f"{'metrics':<18} {names[0]:>14} {names[1]:>14} {'change':>10}"
    for metric in one.metrics | other.metrics:
        a, b = one.metrics.get(metric), other.metrics.get(metric)
        cells = ["" if value is None else f"{value:.4f}" for value in (a, b)]
        change = "" if a is None or b is None else f"{b - a:+.4f}"
        yield f"  {metric:<16} {cells[0]:>14} {cells[1]:>14} {change:>10}"


def _section(title: str, one: dict[str, Any], other: dict[str, Any]) -> Iterator[str]:
    changed = [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
    yield f"{title}:" if changed else f"{title}: the same"
    for name in changed:
        yield f"  {name}: {_short(one.get(name))} -> {_short(other.get(name))}"


def _facts(card: Card) -> dict[str, Any]:
    training = card.training.model_dump(
        include={"recipe", "parameters", "seed", "epochs", "backend", "libraries"}
    )
    data = {f"data {name}": value for name, value in card.data.model_dump().items()}
    return training | data | {"opset": card.opset, "threshold": card.threshold}


def _confidence(card: Card) -> dict[str, Any]:
    if (confidence := card.confidence) is None:
        return {}
    ood = {} if confidence.ood is None else confidence.ood.model_dump()
    seen = {f"range of {s.name}": s.codes or (s.low, s.high) for s in confidence.training_ranges}
    sets = {f"conformal {name}": value for name, value in confidence.conformal.model_dump().items()}
    return sets | {f"ood {name}": value for name, value in ood.items()} | seen


def _contract(card: Card) -> dict[str, Any]:
    contract = card.contract
    tensors = {f"tensor {t.name}": t.model_dump() for t in (contract.input, *contract.outputs)}
    order = {"order of features": [feature.name for feature in contract.features]}
    features = {f"feature {f.name}": f.model_dump(exclude_defaults=True) for f in contract.features}
    return tensors | order | features | {"labels": contract.labels, "hash": card.contract_hash}


def _graph(artifact: Artifact) -> list[str]:
    try:
        text = (artifact.folder / SIGNATURE).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{SIGNATURE} of {artifact.folder} cannot be read: {error}") from error
    # All constants are on one line; one on each shows which of them changed.
    lines = re.sub(r"(?<=\}), ", "\n   ", COUNTERS.sub("", text)).splitlines()
    # A node's name tells no more than that of its output.
    return [_short(line) if " {" in line else NODE_NAME.sub("   ", line) for line in lines]


def _nodes(graph: list[str]) -> dict[str, int]:
    """Count nodes by operator."""
    return Counter(re.findall(r" = (\w+) [<(]", "\n".join(graph)))


def _short(value: object) -> str:
    text = "nothing" if value is None else str(value)
    if len(text) <= LONGEST:
        return text
    # The part that is cut may be the only one that differs.
    return f"{text[: LONGEST - 11]}… #{hashlib.sha256(text.encode()).hexdigest()[:8]}"
