"""The service needs neither TensorFlow nor the training package."""

import subprocess
import sys

FORBIDDEN = ("tensorflow", "keras", "tf2onnx", "pandas", "sklearn", "matplotlib", "training")


def test_the_runtimes_telemetry_is_off_before_it_is_imported() -> None:
    """Nothing about a patient, nor that there was one, goes to the maker of the runtime."""
    check = "import os; assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'"
    assert "onnxruntime" not in loaded_after(f"import service; {check}")
    assert "onnxruntime" in loaded_after(f"import service.models.runtime.session; {check}")


def loaded_after(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after a statement."""
    code = f"{statement}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    command = [sys.executable, "-c", code]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


def test_the_service_imports_no_training() -> None:
    """`import service.api.app` pulls in nothing of what training needs."""
    assert not loaded_after("import service.api.app").intersection(FORBIDDEN)


def test_the_service_runs_where_training_is_not_installed() -> None:
    """Even when these imports are impossible, the application can be made."""
    block = "; ".join(f"sys.modules[{name!r}] = None" for name in FORBIDDEN)
    make = "from service.api.app import create_app; from service.settings.settings import Settings"
    loaded_after(f"import sys; {block}; {make}; create_app(Settings())")


def test_help_imports_nothing_slow() -> None:
    """`foretell --help` answers at once: it loads no runtime, no framework, no TensorFlow."""
    run = "from service.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    slow = {*FORBIDDEN, "numpy", "onnxruntime", "fastapi", "cv2"} - {"training"}
    assert not loaded_after(run).intersection(slow)
