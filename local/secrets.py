"""A local stand-in for Secret Manager, written from its published interface; the real client talks to it over gRPC.

It knows one call, AccessSecretVersion, with the version `latest` or a number counted from 1. It knows no permissions.
"""

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import grpc
from google.cloud.secretmanager_v1 import AccessSecretVersionRequest, AccessSecretVersionResponse

from local.errors import StackError
from local.ports import HOST, free_port

METHOD = "/google.cloud.secretmanager.v1.SecretManagerService/AccessSecretVersion"


def write_secrets(file: Path, values: Mapping[str, str]) -> None:
    """Store secrets, readable only by their owner, as a JSON object of name and value."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.unlink(missing_ok=True)  # the mode below holds only for a file that is made anew
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
        json.dump(dict(values), output, indent=2)
    part.replace(file)


def read_secrets(file: Path) -> dict[str, str]:
    """Return the secrets in a file. Raises StackError if others may read it too, or if it is no JSON object of strings."""
    if file.stat().st_mode & 0o077:
        raise StackError(f"{file} may be read by others than its owner: `chmod 600 {file}`, or delete it for new secrets")
    try:
        content = json.loads(file.read_text())
    except ValueError as exc:
        raise StackError(f"{file} is no JSON: delete it, and start again for new secrets") from exc
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise StackError(f"{file} must be a JSON object of strings: delete it, and start again for new secrets")
    return content


class SecretServer:
    """Serves a file of secrets at `address`, inside `with`. Every call reads the file, so a secret can be rotated."""

    def __init__(self, file: Path, *, project: str, port: int = 0) -> None:
        """Describe the server; nothing listens before `with`."""
        self._file, self._project = file, project
        self._port = port
        self._server: grpc.Server | None = None
        self.address = ""

    def __enter__(self) -> Self:
        self.address = f"{HOST}:{self._port or free_port()}"
        # Threads: calls are short and local. SO_REUSEPORT off, or two stacks could share one port without a word.
        self._server = grpc.server(ThreadPoolExecutor(4), handlers=[_Handler(self)], options=[("grpc.so_reuseport", 0)])
        try:
            self._server.add_insecure_port(self.address)
        except RuntimeError as exc:
            raise StackError(f"the secrets' port {self.address} is taken: stop what listens there") from exc
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server:
            self._server.stop(grace=None).wait()

    def access(self, request: AccessSecretVersionRequest, context: grpc.ServicerContext) -> AccessSecretVersionResponse:
        """Answer one call: the secret's bytes, or NOT_FOUND."""
        name, _, version = request.name.partition("/versions/")
        project, _, secret = name.removeprefix("projects/").partition("/secrets/")
        value = read_secrets(self._file).get(secret)
        if value is None or project != self._project or version not in {"latest", "1"}:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Secret [{request.name}] not found or has no versions.")
        return AccessSecretVersionResponse(name=f"{name}/versions/1", payload={"data": str(value).encode()})


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    def __init__(self, server: SecretServer) -> None:
        self._method = grpc.unary_unary_rpc_method_handler(
            server.access,
            request_deserializer=AccessSecretVersionRequest.deserialize,
            response_serializer=AccessSecretVersionResponse.serialize,
        )

    def service(self, details: Any) -> Any:
        return self._method if details.method == METHOD else None
