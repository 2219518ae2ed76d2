"""A process on a port: uvicorn, supervisor, workers, sockets, drain."""
