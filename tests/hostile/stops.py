"""A stop under load: callers of every kind, and how many of their calls were lost.

python -m tests.hostile.stops 20   # so many stops, with and without a drain, one and two workers
"""

import asyncio
import json
import signal
import socket
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.hostile.attacked import MODELS, ROW, serving

KEEPALIVE, ONE_SHOT, V2, GRPC = 16, 16, 8, 12
"""Callers of each kind."""
LOAD_SECONDS = 1.5
DATA = [57, 1, 4, 140, 240, 0, 0, 150, 0, 1, 2, 0, 3]
HEART = {"name": "features", "shape": [1, 13], "datatype": "FP32", "data": DATA}


@dataclass
class Load:
    """The calls of every caller: answered, refused before they were sent, or lost."""

    port: int
    grpc_port: int
    calls: Counter[str] = field(default_factory=Counter)
    losses: list[str] = field(default_factory=list)

    async def run(self) -> None:
        """Call until the service is gone."""
        row = request("/v1/heart/predict", ROW)
        tensors = request("/v2/models/heart/infer", {"inputs": [HEART]})
        await asyncio.gather(
            *(self.http("keep-alive", row) for _ in range(KEEPALIVE)),
            *(self.http("one-shot", row, keeps=False) for _ in range(ONE_SHOT)),
            *(self.http("v2", tensors) for _ in range(V2)),
            *(self.grpc() for _ in range(GRPC)),
        )

    async def http(self, kind: str, call: bytes, *, keeps: bool = True) -> None:
        """Call over HTTP/1.1, on one connection until it is told to close or on one for each call.

        A call is lost if its connection accepted it and ended without an answer.
        """
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                self.calls["refused"] += 1
                return
            told = False
            while not told:
                if reader.at_eof():
                    break  # closed while idle, before this call
                try:
                    writer.write(call)
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                    await reader.readexactly(length)
                except (OSError, EOFError, asyncio.IncompleteReadError) as error:
                    self.losses.append(f"{kind}: {type(error).__name__} {error}")
                    break
                self.calls[kind] += 1
                if head[9:12] != b"200":
                    self.losses.append(f"{kind}: {head[:60]!r}")
                told = not keeps or b"connection: close" in head.lower()
            writer.close()

    async def grpc(self) -> None:
        """Call over gRPC; UNAVAILABLE says that the call was not begun, anything else is a loss."""
        import grpc

        from service.api.open_inference.grpc.definitions import methods

        asked, answered = methods("inference.GRPCInferenceService")["ModelInfer"]
        body = asked(model_name="heart")
        tensor = body.inputs.add(name="features", datatype="FP32", shape=[1, 13])
        tensor.contents.fp32_contents.extend(map(float, DATA))
        options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
        address = f"127.0.0.1:{self.grpc_port}"
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            infer = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer",
                request_serializer=asked.SerializeToString,
                response_deserializer=answered.FromString,
            )
            while True:
                try:
                    await infer(body, timeout=30)
                    self.calls["gRPC"] += 1
                except grpc.aio.AioRpcError as error:
                    if error.code() is grpc.StatusCode.UNAVAILABLE:
                        self.calls["gRPC unavailable"] += 1
                        return
                    self.losses.append(f"gRPC: {error.code().name} {error.details()}")
                    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                        return


def request(path: str, body: object) -> bytes:
    """Return a request of HTTP/1.1."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


def stop_under_load(models_dir: Path = MODELS, **settings: str) -> tuple[Load, float]:
    """Stop a service while everybody calls; return the calls, and the seconds until it ended."""
    with serving(models_dir, FORETELL_GRPC_PORT=str(free_port()), **settings) as attacked:
        address = str(attacked.of("listening for gRPC")[0]["address"])
        load = Load(attacked.port, int(address.rsplit(":", 1)[1]))

        async def run() -> float:
            calling = asyncio.create_task(load.run())
            await asyncio.sleep(LOAD_SECONDS)
            attacked.process.send_signal(signal.SIGTERM)
            start = asyncio.get_running_loop().time()
            await asyncio.gather(calling, asyncio.to_thread(attacked.process.wait, 60))
            return asyncio.get_running_loop().time() - start

        seconds = asyncio.run(asyncio.wait_for(run(), 90))
        crashed = attacked.of("request crashed")
    assert not crashed, crashed[:3]
    return load, seconds


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(count: int) -> None:
    """Print the calls and the losses of `count` stops of each kind."""
    for workers in ("1", "2"):
        for drain in ("0", "1"):
            calls: Counter[str] = Counter()
            losses: Counter[str] = Counter()
            longest = 0.0
            for _ in range(count):
                load, seconds = stop_under_load(
                    FORETELL_WORKERS=workers, FORETELL_DRAIN_SECONDS=drain
                )
                calls += load.calls
                losses += Counter(load.losses)
                longest = max(longest, seconds)
            print(f"workers {workers}, drain {drain} s, {count} stops, at most {longest:.1f} s")
            print(f"  {dict(calls)}; lost {sum(losses.values())}: {losses.most_common(5)}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
