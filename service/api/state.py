"""Whether the service can answer: one question, asked by HTTP, by gRPC and by metrics."""

from starlette.datastructures import State

from service.models.versions.registry import ModelRegistry
from service.observability.worker_slots import WorkerSlot


def unready_reasons(state: State) -> dict[str, str]:
    """Why not, by model, and for `workers` or the `service`; empty when it can.

    `state` is the application's.
    """
    registry: ModelRegistry = state.registry
    reasons = registry.not_ready()
    slot: WorkerSlot | None = state.slot
    if slot and slot.missing:
        reasons = {"workers": slot.missing} | reasons
    if state.draining:
        reasons = {"service": "it is shutting down"} | reasons
    return reasons
