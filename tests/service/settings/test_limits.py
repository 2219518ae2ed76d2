"""The cores that a process may use."""

import os
from pathlib import Path

import pytest

from service.settings.limits import (
    MOST_PICTURE_BYTES,
    available_cores,
    available_memory,
    cpu_quota,
    memory_limit,
)
from service.settings.settings import Settings


def cgroups(folder: Path, membership: str, files: dict[str, str]) -> tuple[Path, Path]:
    """Write a process's membership and the files of cgroups. Return the paths of both."""
    (folder / "membership").write_text(membership)
    mount = folder / "mount"
    for name, text in files.items():
        file = mount / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder / "membership", mount


@pytest.mark.parametrize(
    ("membership", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {}, None),
        ("0::/a/b\n", {"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "max 100000\n"}, 0.5),
        ("0::/a/b\n", {"cpu.max": "max 1\n", "a/b/cpu.max": "300000 100000\n"}, 3.0),
        (
            "5:memory:/x\n4:cpu,cpuacct:/docker/host-path\n0::/\n",
            {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"},
            2.0,
        ),
        (
            "4:cpu,cpuacct:/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            None,
        ),
        ("5:cpuset:/\n", {"cpu/cpu.cfs_quota_us": "1\n"}, None),
    ],
)
def test_a_quota_is_that_of_the_cgroup_or_of_a_smaller_one_around_it(
    tmp_path: Path, membership: str, files: dict[str, str], quota: float | None
) -> None:
    """In cores, of cgroup v2 and v1; none is unlimited."""
    assert cpu_quota(*cgroups(tmp_path, membership, files)) == quota


def test_a_system_without_cgroups_has_no_quota(tmp_path: Path) -> None:
    """macOS, or a /proc that is not there."""
    assert cpu_quota(tmp_path / "none", tmp_path / "none") is None


@pytest.mark.parametrize(("quota", "cores"), [(None, 8), (0.5, 1), (1.5, 1), (4.0, 4), (64.0, 8)])
def test_cores_are_no_more_than_the_quota(
    quota: float | None, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container of half a core on a machine of 8 reads pictures in one process, not in 7."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr("service.settings.limits.cpu_quota", lambda *_: quota)
    assert available_cores() == cores


@pytest.mark.parametrize(
    ("membership", "files", "limit"),
    [
        ("0::/\n", {"memory.max": "268435456\n"}, 2**28),
        ("0::/\n", {"memory.max": "max\n"}, None),
        ("0::/a/b\n", {"a/memory.max": "1000\n", "a/b/memory.max": "2000\n"}, 1000),
        ("5:memory:/docker/host-path\n", {"memory/memory.limit_in_bytes": "536870912\n"}, 2**29),
        ("5:cpu:/\n", {"memory/memory.limit_in_bytes": "1\n"}, None),
    ],
)
def test_the_memory_limit_is_the_smallest_around_a_process(
    tmp_path: Path, membership: str, files: dict[str, str], limit: int | None
) -> None:
    """Both versions of cgroups are read; none is unlimited."""
    assert memory_limit(*cgroups(tmp_path, membership, files)) == limit


def test_pictures_take_three_eighths_of_the_memory_that_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A container of 256 MiB would die of a picture for which it has no room."""
    monkeypatch.setattr("service.settings.limits.memory_limit", lambda *_: 2**28)
    assert available_memory() == 2**28
    assert Settings(image_decoders=1).picture_bytes == 96 * 2**20
    assert Settings(image_decoders=2, workers=2).picture_bytes == 24 * 2**20
    assert Settings(max_picture_bytes=2**30).picture_bytes == 2**30
    monkeypatch.setattr("service.settings.settings.available_memory", lambda: 2**40)
    assert Settings(image_decoders=4).picture_bytes == MOST_PICTURE_BYTES
