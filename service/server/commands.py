"""`foretell serve`. Imports that cost time wait until it runs."""

import argparse

from service.settings.arguments import add_models_dir


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `serve`."""
    serve = commands.add_parser("serve", help="start the service")
    serve.add_argument("--host", help="address to listen on (FORETELL_HOST)")
    serve.add_argument("--port", type=int, help="port to listen on (FORETELL_PORT)")
    serve.add_argument("--grpc-port", type=int, help="port for gRPC (FORETELL_GRPC_PORT)")
    serve.add_argument("--workers", type=int, help="processes that answer (FORETELL_WORKERS)")
    add_models_dir(serve)
    serve.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), help="where models run (FORETELL_DEVICE)"
    )
    serve.set_defaults(run=run_serve)


def run_serve(arguments: argparse.Namespace) -> int:
    """Answer until SIGTERM or Ctrl-C. Return the exit status: 1 if the service could not start."""
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
