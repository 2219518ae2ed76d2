"""One version in memory: its ONNX Runtime session and its dynamic batching."""
