"""Compiles the protocol's definitions when Foretell is built or installed, editable or not.

Into one set of descriptors, not into Python: code that protoc generates refuses to run with a
protobuf older than its own, and descriptors do not care. `python hatch_build.py` does it by hand.

A source distribution has the result with it, so that nobody who installs one needs a compiler.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path(__file__).resolve().parent / "service" / "api" / "open_inference" / "grpc" / "proto"
COMPILED = FOLDER / "compiled.binpb"
COMPILER = "grpcio-tools>=1.71"


def definitions() -> list[Path]:
    """What is compiled."""
    return sorted(FOLDER.glob("*.proto"))


def is_current() -> bool:
    """Whether it was compiled since it last changed."""
    if not COMPILED.exists():
        return False
    made = COMPILED.stat().st_mtime
    return all(definition.stat().st_mtime <= made for definition in definitions())


def compile_definitions() -> None:
    """Write `COMPILED`. Raises RuntimeError if protoc does not take the definitions."""
    from grpc_tools import protoc

    names = [definition.name for definition in definitions()]
    command = ["protoc", f"--proto_path={FOLDER}", f"--descriptor_set_out={COMPILED}", *names]
    if protoc.main(command):
        raise RuntimeError(f"protoc refused {', '.join(names)}")


class CompileDefinitions(BuildHookInterface):
    """What hatchling calls."""

    def dependencies(self) -> list[str]:
        """The compiler, if it is needed."""
        return [] if is_current() else [COMPILER]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before anything is packed."""
        if not is_current():
            compile_definitions()
        build_data["artifacts"].append(f"/{COMPILED.relative_to(FOLDER.parents[4]).as_posix()}")


if __name__ == "__main__":
    compile_definitions()
