"""HTTP in, predictions out. Nothing here imports TensorFlow, Keras or the training package."""

import os

# ONNX Runtime's wheels report usage to their maker unless told not to before they are imported;
# a service that is given patients' rows talks to nobody but its callers.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
