"""Tests of requests that are wrong on purpose: each gets an error, and none harms the server.

A request is wrong if the protocol rules it out. Where servers may differ (an unknown parameter, an
output requested twice) any answer with a status below 500, or 501, will do.
"""

import gzip
import json
import socket
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.conformance.protocol import JSON_SIZE, Model, Server, refused, same

ALLOWED = {*range(200, 500), 501}


@pytest.fixture(autouse=True)
def unharmed(server: Server, model: Model) -> Iterator[None]:
    """Check after each test that the server is alive and answers a good request as before."""
    before = server.outputs(model, model.arrays())
    yield
    assert server.http.get("/v2/health/live").status_code == 200
    same(server.outputs(model, model.arrays()), before)


def with_input(model: Model, **changes: Any) -> dict[str, Any]:
    """Return a good request with changes to its first input."""
    request = model.request()
    request["inputs"][0] |= changes
    return request


def post(server: Server, model: Model, request: Any) -> httpx.Response:
    """Send anything that Python writes as JSON, also NaN and infinity."""
    return server.http.post(model.infer, content=json.dumps(request).encode())


SHAPES: dict[str, list[Any]] = {
    "past 2**63 by product": [2**32, 2**32],
    "product wraps to the true size": [2**63, 2, 1],
    "negative": [-1, 13],
    "both negative": [-2, -13],
    "beyond 64 bits": [2**70, 13],
    "thousands of digits": [10**4000, 13],
    "no dimensions": [],
    "a zero": [0, 13],
    "fractions": [1.0, 13.5],
    "strings": ["1", "13"],
    "true": [True, 13],
    "null": [None, 13],
    "lists": [[1], [13]],
    "a thousand dimensions": [1] * 1000,
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_impossible_shapes_are_refused(server: Server, model: Model, shape: list[Any]) -> None:
    """Impossible shapes are refused in JSON and, if the server has it, with binary data."""
    refused(post(server, model, with_input(model, shape=shape)))
    if "binary_tensor_data" in server.extensions:
        head, data = model.binary()
        document = json.loads(head)
        document["inputs"][0]["shape"] = shape
        refused(server.infer_binary(model, json.dumps(document).encode(), data))


@pytest.mark.parametrize("value", [0, 1.5, "x", "", True, None, [], {}, [None], [[]], [{}]])
@pytest.mark.parametrize("field", ["name", "shape", "datatype", "data"])
def test_input_fields_of_wrong_types_are_refused(
    server: Server, model: Model, field: str, value: Any
) -> None:
    """Every field of an input is refused with any type that is not its own."""
    refused(post(server, model, with_input(model, **{field: value})))


@pytest.mark.parametrize("value", [0, 1.5, "x", True, [1], {"a": 1}, [[]], [None], "x" * 10**6])
@pytest.mark.parametrize("field", ["id", "parameters", "inputs", "outputs"])
def test_request_fields_of_wrong_types_do_no_harm(
    server: Server, model: Model, field: str, value: Any
) -> None:
    """Fields of a request with wrong types do no harm; `inputs` that are no list are refused."""
    answer = post(server, model, model.request(**{field: value}))
    assert answer.status_code in ALLOWED
    if field == "inputs":
        refused(answer)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"42",
        b'"text"',
        b"{}",
        b"{",
        b'{"inputs": []}',
        b'{"inputs": [{}]}',
        b'{"inputs": {}}',
        b"\xff\xfe\x00",
        b'{"id": "\\ud800", "inputs": []}',
        b"<html></html>",
        b"\x00" * 1000,
    ],
)
def test_bodies_that_are_no_request_are_refused(server: Server, model: Model, body: bytes) -> None:
    """Bodies that are no request get a 400 with a message."""
    refused(server.http.post(model.infer, content=body))


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"inputs":[', b'{"inputs":[{"data":['])
@pytest.mark.parametrize("depth", [500, 200_000])
def test_deep_nesting_is_refused(server: Server, model: Model, opening: bytes, depth: int) -> None:
    """JSON of any depth is refused; the parser does not run out of stack."""
    refused(server.http.post(model.infer, content=opening * depth))
    closing = opening.translate(bytes.maketrans(b"[{", b"]}"), b':,"abcdefghijklmnopqrstuvwxyz')
    body = opening * depth + b"1" + closing[::-1] * depth
    refused(server.http.post(model.infer, content=body))


@pytest.mark.parametrize("depth", [150, 100_000])
def test_deeply_nested_data_are_refused(server: Server, model: Model, depth: int) -> None:
    """Data that are nested deeper than their shape are refused."""
    body = json.dumps(with_input(model, data="HERE")).encode()
    body = body.replace(b'"HERE"', b"[" * depth + b"1" + b"]" * depth)
    refused(server.http.post(model.infer, content=body))


def test_an_input_given_twice_is_refused(server: Server, model: Model) -> None:
    """An input that is given twice is refused, as it is ambiguous."""
    request = model.request()
    request["inputs"].append(request["inputs"][0])
    refused(post(server, model, request))


def test_missing_and_unknown_inputs_are_refused(server: Server, model: Model) -> None:
    """An input too few, one too many, and one of another name are refused."""
    request = model.request()
    refused(post(server, model, {"inputs": request["inputs"][1:]}))
    extra = request["inputs"][0] | {"name": "no such input"}
    refused(post(server, model, {"inputs": [*request["inputs"], extra]}))
    refused(post(server, model, {"inputs": [extra, *request["inputs"][1:]]}))
    refused(post(server, model, {"inputs": [extra] * 10_000}))


def test_unknown_outputs_are_refused_and_doubled_ones_do_no_harm(
    server: Server, model: Model
) -> None:
    """Unknown outputs are refused; an output requested twice may come once or be refused."""
    unknown = [{"name": "no such output"}]
    refused(post(server, model, model.request(outputs=unknown)), 400, 404)
    twice = [{"name": model.outputs[0]}] * 2
    answer = post(server, model, model.request(outputs=twice))
    assert answer.status_code in (200, 400)
    many = post(server, model, model.request(outputs=[{"name": model.outputs[0]}] * 100_000))
    assert many.status_code in (200, 400)


def test_more_or_fewer_data_than_the_shape_are_refused(server: Server, model: Model) -> None:
    """Flat or nested, empty or ragged data that do not fit the shape are refused."""
    (tensor, *_) = model.request()["inputs"]
    nested = model.arrays()[tensor["name"]].tolist()
    for data in (
        tensor["data"][:-1],
        [*tensor["data"], 1],
        [],
        nested[:-1],
        [*nested, nested[0]],
        [nested[0][:-1], *nested[1:]],
        [nested[0], 1],
        [[nested]],
    ):
        refused(post(server, model, with_input(model, data=data)))


@pytest.mark.parametrize(
    "value", ["1", "NaN", "", None, [], {}, 10**30, -(10**30), 10**4000, 1e300, "\u0000"]
)
def test_data_that_are_no_numbers_do_no_harm(server: Server, model: Model, value: Any) -> None:
    """A string, an object or a number that no datatype holds does no harm among good data."""
    data = [value, *model.request()["inputs"][0]["data"][1:]]
    answer = post(server, model, with_input(model, data=data))
    assert answer.status_code in ALLOWED
    if isinstance(value, str | dict):
        refused(answer)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_nan_and_infinity_in_json_do_no_harm(server: Server, model: Model, value: float) -> None:
    """NaN and infinity, which clients write, are taken or refused, and never answered as NaN."""
    data = [value, *model.request()["inputs"][0]["data"][1:]]
    answer = post(server, model, with_input(model, data=data))
    assert answer.status_code in ALLOWED
    if answer.status_code == 200:
        json.loads(answer.content, parse_constant=pytest.fail)


@pytest.mark.parametrize("datatype", ["FP31", "fp32", "float32", "", "BYTES", "BOOL", "TYPE_FP32"])
def test_datatypes_that_do_not_fit_are_refused(server: Server, model: Model, datatype: str) -> None:
    """Unknown datatypes, and strings or booleans for numbers, are refused."""
    if datatype != model.inputs[0]["datatype"]:
        refused(post(server, model, with_input(model, datatype=datatype)))


HEADER_LENGTHS = [
    *("-1", "+5", "1.5", "0x10", "1e3", "x", "", "٣", "5, 5", "NaN"),
    *("99999999999", "18446744073709551615", "18446744073709551616", "9" * 5000),
]


@pytest.mark.usefixtures("binary")
@pytest.mark.parametrize("length", HEADER_LENGTHS, ids=lambda length: length[:24])
def test_header_lengths_that_are_none_are_refused(
    server: Server, model: Model, length: str
) -> None:
    """A header length that is not a number, or longer than the body, is refused."""
    head, data = model.binary()
    headers = {JSON_SIZE.encode(): length.encode()}
    answer = server.http.post(model.infer, content=head + data, headers=headers)
    refused(answer)


@pytest.mark.usefixtures("binary")
@pytest.mark.parametrize("off", [-1, 1, -50])
def test_header_lengths_that_are_wrong_are_refused(server: Server, model: Model, off: int) -> None:
    """A header length that cuts the JSON short, or takes data for JSON, is refused."""
    head, data = model.binary()
    headers = {JSON_SIZE: str(len(head) + off)}
    refused(server.http.post(model.infer, content=head + data, headers=headers))


@pytest.mark.usefixtures("binary")
def test_truncated_and_overlong_data_are_refused(server: Server, model: Model) -> None:
    """Fewer or more bytes than the sizes announce, or none, are refused."""
    head, data = model.binary()
    for wrong in (b"", data[:-1], data[:1], data + b"x", data * 2):
        refused(server.infer_binary(model, head, wrong))
    refused(server.http.post(model.infer, content=head))
    refused(server.http.post(model.infer, content=head + data))


@pytest.mark.usefixtures("binary")
@pytest.mark.parametrize(
    "size", [-1, 0, 1, 2**31, 2**63, 2**64, 10**30, 1.5, "8", True, None, [], {}]
)
def test_binary_sizes_that_are_wrong_are_refused(server: Server, model: Model, size: Any) -> None:
    """A binary size that is negative, huge, of a wrong type, or unlike the shape is refused."""
    head, data = model.binary()
    document = json.loads(head)
    document["inputs"][0]["parameters"]["binary_data_size"] = size
    refused(server.infer_binary(model, json.dumps(document).encode(), data))


@pytest.mark.usefixtures("binary")
def test_data_in_both_places_are_refused(server: Server, model: Model) -> None:
    """Data in the JSON and behind it at once are refused."""
    head, data = model.binary()
    document = json.loads(head)
    document["inputs"][0]["data"] = model.request()["inputs"][0]["data"]
    refused(server.infer_binary(model, json.dumps(document).encode(), data))


@pytest.mark.usefixtures("binary")
@pytest.mark.parametrize("body", [b"", b"x", b"x" * 7, b"x" * 100_003])
def test_raw_tensors_of_odd_sizes_are_refused(server: Server, model: Model, body: bytes) -> None:
    """A raw tensor that is not a whole number of rows is refused."""
    refused(server.http.post(model.infer, content=body, headers={JSON_SIZE: "0"}))


@pytest.mark.parametrize("flag", ["binary_data_output", "binary_data"])
@pytest.mark.parametrize("value", ["true", 1, [], {}])
def test_flags_of_wrong_types_do_no_harm(
    server: Server, model: Model, flag: str, value: Any
) -> None:
    """Flags of other types than boolean, such as a string, do no harm."""
    outputs = [{"name": model.outputs[0], "parameters": {flag: value}}]
    request = model.request(outputs=outputs, parameters={flag: value})
    assert post(server, model, request).status_code in ALLOWED


def test_compressed_bodies_that_are_none_are_refused(server: Server, model: Model) -> None:
    """Bodies not compressed, cut short, too long or in another coding than named are refused."""
    body = json.dumps(model.request()).encode()
    for coding, content in (
        ("gzip", body),
        ("gzip", b""),
        ("gzip", gzip.compress(body)[:-9]),
        ("gzip", zlib.compress(body)),
        ("deflate", gzip.compress(body)),
        ("deflate", zlib.compress(body)[:-5]),
    ):
        headers = {"Content-Encoding": coding}
        refused(server.http.post(model.infer, content=content, headers=headers), 400, 415)
    for coding in ("br", "x" * 5000, "gzip, gzip"):
        headers = {"Content-Encoding": coding}
        answer = server.http.post(model.infer, content=gzip.compress(body), headers=headers)
        assert answer.status_code in ALLOWED - {200}


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_small_body_that_becomes_huge_is_refused(
    server: Server, model: Model, coding: str
) -> None:
    """A body of 260 kB that unpacks to 256 MiB of spaces is refused."""
    stream = zlib.compressobj(9, wbits=31 if coding == "gzip" else 15)
    spaces = b" " * 2**20
    bomb = b"".join([stream.compress(spaces) for _ in range(256)]) + stream.flush()
    answer = server.http.post(model.infer, content=bomb, headers={"Content-Encoding": coding})
    refused(answer, 400, 413)


def test_paths_and_methods_that_do_not_exist_are_errors(server: Server, model: Model) -> None:
    """Unknown paths and methods get 404, 405 or 400, with a body in the protocol's form if any."""
    for method, path in (
        ("GET", "/v2/nothing"),
        ("GET", f"/v2/models/{model.name}/nothing"),
        ("GET", "/v2/models//infer"),
        ("POST", "/v2/models/infer"),
        ("GET", model.infer),
        ("PUT", model.infer),
        ("DELETE", f"/v2/models/{model.name}"),
        ("POST", "/v2/health/live"),
        ("GET", "/v2/models/..%2F..%2Fetc%2Fpasswd"),
        ("GET", "/v2/models/%00"),
        ("GET", "/v2/models/%ff"),
        ("GET", f"/v2/models/{'x' * 5000}"),
        ("GET", f"/v2/models/{model.name}/versions/..%2F1"),
    ):
        answer = server.http.request(method, path)
        assert answer.status_code in (400, 404, 405), (method, path, answer.status_code)
        if answer.content:
            refused(answer, 400, 404, 405)


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"ready": "yes"}', b'{"ready": 1}', b"\xff"])
def test_bad_questions_for_the_index_do_no_harm(server: Server, body: bytes) -> None:
    """Bad bodies for the index are refused or ignored."""
    server.needs("model_repository")
    assert server.http.post("/v2/repository/index", content=body).status_code in ALLOWED


@pytest.mark.parametrize("control", ["load", "unload"])
def test_no_caller_loads_a_model_from_elsewhere(server: Server, control: str) -> None:
    """A model by a path, or by a configuration that names one, is never loaded."""
    for name in ("no-such-model", "..%2Fetc", "%2Ftmp"):
        path = f"/v2/repository/models/{name}/load"
        answer = server.http.post(path, json={"parameters": {"config": "{}"}})
        assert answer.status_code in range(400, 502)
        assert answer.status_code != 500
    answer = server.http.post(f"/v2/repository/models/no-such-model/{control}", content=b"{")
    assert answer.status_code in range(200, 502)
    assert answer.status_code != 500


def spoken(url: str, request: bytes, *, hang_up: bool = False) -> bytes:
    """Send bytes and return the answer, until the server closes or sends nothing more."""
    where = urlsplit(url)
    with socket.create_connection((str(where.hostname), where.port or 80), timeout=10) as line:
        line.sendall(request)
        if hang_up:
            line.shutdown(socket.SHUT_WR)
        line.settimeout(10 if hang_up else 2)
        answer = b""
        try:
            while part := line.recv(65536):
                answer += part
        except TimeoutError:
            assert not hang_up, "the line was closed, and the server still waits"
        except ConnectionResetError:
            pass
        return answer


def test_a_body_that_ends_early_is_let_go(url: str, model: Model) -> None:
    """A client that announces 1,000 bytes, sends ten and closes gets no success, and a close."""
    head = f"POST {model.infer} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    answer = spoken(url, head.encode() + b'{"inputs":', hang_up=True)
    assert not answer.startswith(b"HTTP/1.1 200")


def test_a_huge_announced_body_is_not_waited_for(url: str, model: Model) -> None:
    """A huge announced body is refused, or awaited without reserving memory; never a success."""
    for length in ("99999999999", "9" * 30):
        head = f"POST {model.infer} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
        answer = spoken(url, head.encode() + b"{}")
        assert not answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 500"))


@pytest.mark.parametrize(
    "chunk", [b"zz\r\n{}\r\n", b"-1\r\n{}\r\n", b"ffffffffffffffffff\r\n{}\r\n"]
)
def test_broken_chunks_do_no_harm(url: str, model: Model, chunk: bytes) -> None:
    """Chunk sizes that are not numbers do no harm."""
    head = f"POST {model.infer} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = spoken(url, head.encode() + chunk, hang_up=True)
    assert not answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 5"))


def test_many_tiny_chunks_are_one_body(url: str, model: Model) -> None:
    """A body of 100,000 chunks of one byte gets an error about its content, and no crash."""
    head = f"POST {model.infer} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = spoken(url, head.encode() + b"1\r\nA\r\n" * 100_000 + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
