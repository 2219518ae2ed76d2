"""Networks are plain Keras: another backend fits them, and TensorFlow exports what it fitted."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from service.models.artifacts.artifact import MODEL, read_artifact
from service.models.runtime.session import OnnxSession
from training.artifacts.golden import golden_inputs
from training.recipes import TASK_TRAININGS

FIT = """
import keras, numpy as np, sys
from training.fitting.fit import fit
from training.artifacts.golden import golden_inputs
from training.recipes import TASK_TRAININGS
from training.train import export_fitted
from pathlib import Path
if __name__ == "__main__":
    assert keras.backend.backend() == "jax"
    assert "tensorflow" not in sys.modules
    for name in ("heart", "credit", "digits"):
        training = TASK_TRAININGS[name]
        data = training.prepare(training.synthetic())
        fitted = fit(training, training.recipes[training.default], data, epochs=1, quiet=True)
        answers = keras.ops.convert_to_numpy(fitted.model(golden_inputs(training.task,
            training.synthetic()), training=False))
        export_fitted(training, training.default, fitted, data, Path(sys.argv[1]))
        np.save(Path(sys.argv[1]) / f"{name}.npy", answers)
"""


def run(script: Path, *arguments: object) -> None:
    done = subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        env=os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(900)  # JAX compiles three networks
def test_jax_fits_what_tensorflow_exports(tmp_path: Path) -> None:
    """The graph answers as JAX did, and importing what fits needs no TensorFlow."""
    assert keras.backend.backend() == "tensorflow"
    script = tmp_path / "script.py"
    script.write_text(FIT)
    run(script, tmp_path)
    for name in ("heart", "credit", "digits"):
        artifact = read_artifact(tmp_path, name)
        assert artifact.card.training.backend == "jax"
        assert {"jax", "tensorflow"} <= artifact.card.training.libraries.keys()
        inputs, golden = artifact.golden()
        training = TASK_TRAININGS[name]
        assert np.array_equal(
            inputs, golden_inputs(training.task, training.synthetic()), equal_nan=True
        )
        wanted = np.load(tmp_path / f"{name}.npy")
        tensorflow = next(iter(golden.values())).reshape(wanted.shape)
        onnx = next(iter(OnnxSession(artifact.folder / MODEL, "cpu").run(inputs).values()))
        # The tolerance of training/artifacts/golden.py: sums in another order.
        np.testing.assert_allclose(tensorflow, wanted, atol=1e-5)
        np.testing.assert_allclose(onnx.reshape(wanted.shape), wanted, atol=1e-5)


def test_seconds_per_epoch_are_measured_without_tensorflow() -> None:
    """`benchmarks/epochs.py` fits every network of a task on a machine that has JAX only."""
    without = "import sys, runpy; sys.modules['tensorflow'] = None; sys.argv = sys.argv[1:]; "
    script = "benchmarks/epochs.py"
    done = subprocess.run(
        [sys.executable, "-c", f"{without}runpy.run_path({script!r}, run_name='__main__')",
         script, "heart", "--smoke", "--epochs", "1"],
        env=os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("jax ")
    assert "mlp16-ensemble" in done.stdout
