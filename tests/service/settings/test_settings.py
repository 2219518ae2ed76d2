"""Settings: read once, strict, documented."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.errors import SettingsError
from service.settings.settings import PREFIX, Settings, read_settings

DOCS = Path(__file__).parents[3] / "docs" / "operate" / "configuration.md"


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """FORETELL_<FIELD>; a command line wins over it, and what it leaves out does not."""
    monkeypatch.setenv("FORETELL_PORT", "9000")
    monkeypatch.setenv("FORETELL_DEVICE", "cpu")
    assert read_settings().port == 9000
    assert read_settings(port=9001, device=None).port == 9001
    assert read_settings(port=9001, device=None).device == "cpu"


def test_variables_that_kubernetes_makes_for_a_service_are_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A Service called `foretell` gives each pod of its namespace seven; none is a setting."""
    links = {
        "FORETELL_PORT": "tcp://10.0.0.1:8000",
        "FORETELL_SERVICE_HOST": "10.0.0.1",
        "FORETELL_SERVICE_PORT": "8000",
        "FORETELL_SERVICE_PORT_HTTP": "8000",
        "FORETELL_PORT_8000_TCP": "tcp://10.0.0.1:8000",
        "FORETELL_PORT_8000_TCP_PROTO": "tcp",
        "FORETELL_PORT_8000_TCP_PORT": "8000",
        "FORETELL_PORT_8000_TCP_ADDR": "10.0.0.1",
        "FORETELL_GRPC_PORT": "tcp://10.0.0.2:9000",
        "FORETELL_GRPC_SERVICE_HOST": "10.0.0.2",
        "FORETELL_CANARY_PORT": "udp://10.0.0.3:8000",
        "FORETELL_CANARY_PORT_8000_UDP_ADDR": "10.0.0.3",
    }
    for name, value in links.items():
        monkeypatch.setenv(name, value)
    assert read_settings() == Settings(port=8000, grpc_port=None)
    assert read_settings(port=9001).port == 9001
    monkeypatch.setenv("FORETELL_PORT", "eighty")
    with pytest.raises(SettingsError, match=r"FORETELL_PORT: .*'eighty'"):
        read_settings()
    monkeypatch.setenv("FORETELL_SERVICE_HOSTS", "10.0.0.1")
    with pytest.raises(SettingsError, match="unknown setting FORETELL_SERVICE_HOSTS;"):
        read_settings()


def test_a_misspelt_setting_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a shrug: the service would run on the wrong device otherwise."""
    monkeypatch.setenv("FORETELL_DEVISE", "cuda")
    with pytest.raises(SettingsError, match=r"FORETELL_DEVISE.*FORETELL_DEVICE"):
        read_settings()


def test_a_bad_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable, what was expected and what came."""
    monkeypatch.setenv("FORETELL_DEVICE", "gpu")
    with pytest.raises(SettingsError, match=r"FORETELL_DEVICE: .*'auto', 'cpu' or 'cuda'.*'gpu'"):
        read_settings()


@pytest.mark.parametrize("name", ["none", "file"])
def test_a_folder_that_cannot_be_written_to_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At start, not by the first table that has to be kept."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("FORETELL_SPOOL_DIR", str(tmp_path))
    assert read_settings().spool_dir == tmp_path
    monkeypatch.setenv("FORETELL_SPOOL_DIR", str(tmp_path / name))
    with pytest.raises(SettingsError, match=f"^FORETELL_SPOOL_DIR: expected a folder .*{name}'$"):
        read_settings()


def test_a_read_only_folder_cannot_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever makes it so: its mode, its file system."""
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(SettingsError, match="FORETELL_SPOOL_DIR: expected a folder"):
        read_settings(spool_dir=tmp_path)


@pytest.mark.parametrize("text", ["2,4", "1,4,2", "1,1", "1,x", "1,,2", "1,²", ",", "1,2048"])
def test_sizes_of_batches_ascend_from_one(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything else is an error at start, with the text that came."""
    monkeypatch.setenv("FORETELL_BATCH_SIZES", "1,2,4")
    assert read_settings().queue.batch_sizes == (1, 2, 4)
    monkeypatch.setenv("FORETELL_BATCH_SIZES", text)
    with pytest.raises(SettingsError, match=r"^FORETELL_BATCH_SIZES: expected ascending.*from 1"):
        read_settings()


def test_settings_do_not_change() -> None:
    """They are frozen once read."""
    with pytest.raises(ValidationError):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_in_the_docs(name: str) -> None:
    """With the variable's name and its default."""
    rows = [line for line in DOCS.read_text().splitlines() if f"`{PREFIX}{name.upper()}`" in line]
    assert len(rows) == 1, f"expected one row for {name} in {DOCS.name}"
    default = Settings.model_fields[name].default
    assert "models" in rows[0] if name == "models_dir" else f"`{default}`" in rows[0]
