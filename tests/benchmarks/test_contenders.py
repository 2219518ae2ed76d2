import json
import re

import numpy as np
import pytest

from benchmarks.contenders import EVERYONE, PEER_SERVERS, Contender
from benchmarks.environments import PEERS
from benchmarks.peers.heart import Heart, features
from benchmarks.peers.heart import Patient as PeersPatient
from benchmarks.rounds import heart_row
from service.tasks.heart import Patient


def test_peers_validate_the_fields_of_foretells_own_payload_in_its_order() -> None:
    """The peers' pydantic model has Foretell's fields in Foretell's order, though written apart."""
    ours, theirs = Patient.model_fields, PeersPatient.model_fields
    assert list(theirs) == list(ours)
    required = [
        [name for name in fields if fields[name].is_required()] for fields in (ours, theirs)
    ]
    assert required[0] == required[1]


def test_peers_compute_the_probability_that_is_expected_of_every_server() -> None:
    """The example through the peers' payload and session gives the probability of ONNX Runtime."""
    question = heart_row()
    patient = PeersPatient.model_validate(question.payload)
    assert Heart().probability(patient) == question.probability
    assert features(patient).dtype == np.float32


@pytest.mark.parametrize("contender", EVERYONE, ids=lambda contender: contender.name)
def test_everyone_is_sent_the_whole_payload(contender: Contender) -> None:
    """Every value of the payload is in the body, whatever encloses it."""
    payload = heart_row().payload
    body = contender.body(payload).decode()
    values = json.dumps(list(payload.values()))[1:-1]
    assert json.dumps(payload)[1:-1] in body or values in body


@pytest.mark.parametrize("contender", PEER_SERVERS, ids=lambda contender: contender.name)
def test_every_peer_has_a_server_and_pinned_packages(contender: Contender) -> None:
    """Every peer pins its packages, so an environment made later runs the same versions."""
    assert contender.peer is not None
    folder = PEERS / contender.peer
    assert (folder / "server.py").is_file()
    lines = (folder / "requirements.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w\[\]-]+==[\d.]+", pin) for pin in pins)
    assert any(pin.startswith(f"{contender.package}") for pin in pins)
    assert any(pin.startswith("onnxruntime==") for pin in pins)
