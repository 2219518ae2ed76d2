"""The messages of gRPC, from the published definitions in `proto/`, which the build compiles.

They are in a pool of their own. In protobuf's default one a process can have each only once, and
`tritonclient` puts the same names there.
"""

from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

COMPILED = Path(__file__).parent / "proto" / "compiled.binpb"


def _read() -> DescriptorPool:
    if not COMPILED.exists():
        raise ImportError(f"{COMPILED.name} is missing: install Foretell, or python hatch_build.py")
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(COMPILED.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


POOL = _read()


def message(name: str) -> Any:
    """Return the class of a message by its full name."""
    return GetMessageClass(POOL.FindMessageTypeByName(name))


def methods(service: str) -> dict[str, tuple[Any, Any]]:
    """Return the request and the response of each method of a service, by name."""
    found = POOL.FindServiceByName(service).methods
    return {m.name: (GetMessageClass(m.input_type), GetMessageClass(m.output_type)) for m in found}
