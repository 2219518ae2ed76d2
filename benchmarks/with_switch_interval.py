"""`foretell` with another switch interval of Python's threads than the service sets.

    python -m benchmarks.with_switch_interval SECONDS serve [ARGUMENT ...]

For http_protocols.py; the service itself has no setting for it.
"""

import sys

from service.cli import main
from service.server import uvicorn_server

if __name__ == "__main__":
    uvicorn_server.SWITCH_SECONDS = float(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
