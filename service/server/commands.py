"""`foretell serve`."""

import argparse


def run_serve(arguments: argparse.Namespace) -> int:
    """`foretell serve`: runs until SIGTERM or Ctrl-C."""
    from service.observability.logs import configure_logs
    from service.server.sockets import check_ports
    from service.server.supervisor import run_workers
    from service.settings.settings import read_settings

    settings = read_settings(
        host=arguments.host,
        port=arguments.port,
        grpc_port=arguments.grpc_port,
        workers=arguments.workers,
        models_dir=arguments.models_dir,
        device=arguments.device,
    )
    configure_logs(settings)
    check_ports(settings)
    if settings.workers > 1:
        return run_workers(settings)
    from service.api.app import create_app
    from service.server.uvicorn_server import Server

    server = Server(create_app(settings), settings)
    server.run()
    return 0 if server.started else 1
