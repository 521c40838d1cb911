"""`holdfast dev` with stand-ins for worker and web, as a process: `python house.py run DATA PORT [WEB]`.

Everything else in it is real: the supervisor, PostgreSQL, Temporal, migrations and sinks.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

# What only one of these processes needs is imported there: they are started again and again.


def run(data: str, port: str, web: str = "web") -> int:
    """The supervisor with our stand-ins; `web` may be `stubborn` or `broken`."""
    import asyncio

    from cli.dev import live, stay
    from loops.data_directory import DataDirectory
    from loops.development import Wanted
    from schemas.errors import HoldfastError

    me = (sys.executable, str(Path(__file__).resolve()))
    directory = DataDirectory(Path(data))
    try:
        directory.acquire()
        commands = {"worker": (*me, "worker"), "batch": (*me, "worker"), "web": (*me, web)}
        wanted = Wanted(directory, dict(os.environ), int(port), demo=False, commands=commands)
        asyncio.new_event_loop().run_until_complete(live(wanted, stay))
    except HoldfastError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def serve(port: str) -> None:
    """The web stand-in: it answers 200 to everything."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Healthy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            return

    ThreadingHTTPServer(("127.0.0.1", int(port)), Healthy).serve_forever()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["run", *rest]:
            from cli.leaving import leave

            leave(run(*rest))
        case ["worker", *_]:
            Path(os.environ["HOLDFAST_READY_FILE"]).touch()
            signal.pause()
        case ["stubborn", "--port", port]:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            serve(port)
        case ["broken", "--port", port]:
            import threading

            # Gets ready, then dies each time, as a process does that trips over its data.
            threading.Timer(0.5, os._exit, (3,)).start()
            print("tripped over a stone", flush=True)
            serve(port)
        case ["web", "--port", port]:
            serve(port)
