"""Serves every function of a staged bundle in one process: `python -m local.functions --bundle DIR --port N`.

In production each function is a service of its own. Here one process serves them all, each under its name:
`/NAME`, and for events also `/functions/projects/PROJECT/triggers/NAME`, where the emulator posts. `GET /` lists them.
Imports nothing of ours: `shared` must be the bundle's, not the work tree's.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

import functions_framework
from functions_framework import _function_registry
from gunicorn.app.base import BaseApplication
from werkzeug.middleware.dispatcher import DispatcherMiddleware

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ROOT = Path(__file__).resolve().parent.parent
EVENT = _function_registry.CLOUDEVENT_SIGNATURE_TYPE
THREADS = 16
REQUEST_SECONDS = 1800  # the longest that Cloud Scheduler waits


def discover(source: Path) -> dict[str, str]:
    """Return the functions that an entry file registers: their names, and `http` or `cloudevent`.

    Runs the file once, as functions_framework does; create_app then runs it once per function, so it must stay thin.
    """
    module, spec = _function_registry.load_function_module(str(source))
    spec.loader.exec_module(module)
    registered = _function_registry.REGISTRY_MAP
    return {
        name: registered[name] for name, value in vars(module).items() if name in registered and isinstance(value, FunctionType)
    }


def build(source: Path, project: str) -> "WSGIApplication":
    """Return one WSGI application that serves all functions of an entry file."""
    kinds = discover(source)
    mounts: dict[str, WSGIApplication] = {}
    for name, kind in kinds.items():
        app = _rooted(functions_framework.create_app(name, str(source), kind))
        mounts[f"/{name}"] = app
        if kind == EVENT:
            mounts[f"/functions/projects/{project}/triggers/{name}"] = app
    return DispatcherMiddleware(_listing(kinds), mounts)


def _rooted(app: "WSGIApplication") -> "WSGIApplication":
    def call(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        environ["PATH_INFO"] = environ.get("PATH_INFO") or "/"  # Flask answers 308 to an empty path
        return app(environ, start)

    return call


def _listing(kinds: dict[str, str]) -> "WSGIApplication":
    body = json.dumps({"functions": kinds}).encode()
    missing = b'{"error": "no such function; GET / lists them"}'

    def call(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        found = environ.get("PATH_INFO") in {"", "/"}
        start("200 OK" if found else "404 Not Found", [("Content-Type", "application/json")])
        return [body if found else missing]

    return call


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """One worker, started before any function is loaded: gRPC does not survive a fork."""

    def __init__(self, source: Path, project: str, bind: str) -> None:
        self._source, self._project, self._bind = source, project, bind
        super().__init__()

    def load_config(self) -> None:
        settings: dict[str, Any] = {
            "bind": self._bind,
            "workers": 1,
            "threads": THREADS,
            "timeout": REQUEST_SECONDS,
            "graceful_timeout": 1,
            "loglevel": "warning",
            "control_socket_disable": True,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> "WSGIApplication":
        return build(self._source, self._project)


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m local.functions", description="Serve a staged bundle's functions.")
    parser.add_argument("--bundle", type=Path, required=True, help="the folder that local.bundle filled")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    # `python -m` put the work tree on the path, and the bundle must do without it, as it must when deployed.
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != ROOT]
    os.chdir(options.bundle)
    project = os.environ.get("GOOGLE_CLOUD_PROJECT", "demo-bothways")
    _Server(options.bundle.resolve() / "main.py", project, f"127.0.0.1:{options.port}").run()


if __name__ == "__main__":
    main()
