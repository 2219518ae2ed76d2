"""The parts of an artifact: graph, golden inputs, background rows."""
