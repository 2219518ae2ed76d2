"""The Open Inference Protocol over HTTP and JSON, with its binary extension."""
