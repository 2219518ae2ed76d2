from pathlib import Path

import pytest

from benchmarks.load import HOW_TO_INSTALL, SCRIPT, Load, drive, read_load

PRINTED = """Running 3s test @ http://127.0.0.1:8000/v1/heart/predict
  1 threads and 16 connections
  30000 requests in 3.00s, 6.1MB read
{"requests": 30000, "failed": 0, "seconds": 3, "p50_ms": 1.5, "p90_ms": 2, "p99_ms": 3, "max_ms": 9}
"""


def test_a_load_is_read_from_what_wrk_prints() -> None:
    """The last line is read; the rate is the number of requests by the seconds that wrk took."""
    load = read_load(PRINTED)
    assert load == Load(
        requests=30000, failed=0, seconds=3, p50_ms=1.5, p90_ms=2, p99_ms=3, max_ms=9
    )
    assert load.rate == 10_000


def test_the_script_prints_every_field_that_is_read() -> None:
    """post.lua prints the fields of `Load`, so a rename on one side fails before a benchmark."""
    script = SCRIPT.read_text()
    assert all(f'"{field}": ' in script for field in Load.model_fields)


@pytest.mark.parametrize("printed", ["", "unable to connect to 127.0.0.1:1 Connection refused\n"])
def test_any_other_output_is_an_error_that_shows_it(printed: str) -> None:
    """Output without the line of JSON raises ValueError with that output in the message."""
    with pytest.raises(ValueError, match="expected a line of JSON from wrk") as caught:
        read_load(printed)
    assert repr(printed) in str(caught.value)


def test_without_wrk_the_message_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A benchmark ends with how to install wrk before it measures anything."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit) as caught:
        drive("http://127.0.0.1:1/", b"{}", "application/json")
    assert str(caught.value) == HOW_TO_INSTALL
    assert "apt install wrk" in HOW_TO_INSTALL
