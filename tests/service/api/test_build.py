"""An installation has the messages of gRPC, whatever it is built from."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from tests.service.test_readme import ROOT

COMPILED = "service/api/open_inference/grpc/proto/compiled.binpb"
PARTS = ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore")


def build(kind: str, source: Path, output: Path, *, before: str = "") -> Path:
    """Call the build backend as pip does; gives what it made."""
    code = f"""{before}
import sys
from hatchling.build import build_{kind} as build, get_requires_for_build_{kind} as needs
print(*needs(), file=sys.stderr)
print(build({str(output)!r}))"""
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=source, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    assert ("grpcio-tools" in ended.stderr) == (not before)
    return output / ended.stdout.splitlines()[-1]


def test_a_source_distribution_needs_no_compiler(tmp_path: Path) -> None:
    """A checkout is compiled, with the compiler that the build asks for; what it makes has that."""
    checkout = tmp_path / "checkout"
    ignored = shutil.ignore_patterns("*.binpb", "__pycache__")
    for package in ("service", "training"):
        shutil.copytree(ROOT / package, checkout / package, ignore=ignored)
    for name in PARTS:
        shutil.copy(ROOT / name, checkout / name)
    packed = build("sdist", checkout, tmp_path)
    with tarfile.open(packed) as files:
        files.extractall(tmp_path, filter="data")
    unpacked = tmp_path / packed.name.removesuffix(".tar.gz")
    assert (unpacked / COMPILED).read_bytes() == (checkout / COMPILED).read_bytes()
    no_compiler = "import sys; sys.modules['grpc_tools'] = None"
    wheel = build("wheel", unpacked, tmp_path, before=no_compiler)
    with zipfile.ZipFile(wheel) as files:
        assert files.read(COMPILED) == (checkout / COMPILED).read_bytes()
