"""Everything that callers speak; the only room that knows HTTP or gRPC."""
