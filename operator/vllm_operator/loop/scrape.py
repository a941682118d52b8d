"""/metrics, for Prometheus: beside the event loop, as writing out a large fleet takes a second of CPU.

One at a time is answered: the event loop shares the interpreter with one of these threads, not with all.
"""

from threading import Lock
from typing import Any

from prometheus_client import make_wsgi_app

from .answering import Server, answer


def serve(port: int) -> Server:
    """Serves all metrics at the port, in the background, as long as the process lives."""
    app, turn = make_wsgi_app(), Lock()

    def one_at_a_time(environ: Any, start_response: Any) -> Any:
        with turn:
            return app(environ, start_response)

    return answer(port, one_at_a_time)
