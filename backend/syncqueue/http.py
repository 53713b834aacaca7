"""The envelope of every call: body, gzip, sizes, who calls, and answers that never hold a value they should not."""

import gzip
import json
import logging
import zlib
from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from .access import Caller, Denied, allow, authenticate, check_signature
from .logs import where
from .models import SyncToken

LIMIT = 10 * 1024 * 1024
_WORTH_PACKING = 2048
_DIGITS = 400  # no double has more before its point
log = logging.getLogger("syncqueue")


class BadRequest(Exception):
    """An answer 400 (or `status`): what is wrong, and where."""

    def __init__(self, detail: str, *errors: tuple[str, str], status: int = 400) -> None:
        super().__init__(detail)
        self.detail, self.errors, self.status = detail, errors, status

    def body(self) -> dict[str, Any]:
        return {"detail": self.detail, "errors": [{"loc": where, "msg": what} for where, what in self.errors]}


@method_decorator(csrf_exempt, name="dispatch")
@method_decorator(transaction.non_atomic_requests, name="dispatch")
class SyncView(View):
    """A call of the queue. Subclasses answer `read` (GET) or `write` (POST) with what becomes the JSON body."""

    roles: tuple[str, ...] = (SyncToken.SYNC,)
    read: Callable[[HttpRequest, Caller], dict[str, Any]] | None = None
    write: Callable[[dict[str, Any], Caller], dict[str, Any]] | None = None

    def dispatch(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        """Answer, whatever happens, without a value of any record in a log or an error."""
        try:
            return reply(request, 200, self._answer(request))
        except Denied as denied:
            return reply(request, denied.status, {"detail": denied.detail})
        except BadRequest as bad:
            return reply(request, bad.status, bad.body())
        except Exception as error:  # the text of any other error may hold values: only its kind and place are told
            log.error("request failed", extra={"fields": {"call": type(self).__name__, **where(error)}})
            return reply(request, 500, {"detail": "the server failed; its log says where"})

    def _answer(self, request: HttpRequest) -> dict[str, Any]:
        packed = _body(request)
        caller = authenticate(request)
        check_signature(request, packed)
        allow(caller, self.roles)
        if request.method == "GET" and self.read is not None:
            return self.read(request, caller)
        if request.method == "POST" and self.write is not None:
            return self.write(parse(unpack(request, packed)), caller)
        raise BadRequest("this call does not take that method", status=405)

    def allowed(self) -> str:
        return ", ".join(name for name, given in (("GET", self.read), ("POST", self.write)) if given is not None)


def reply(request: HttpRequest, status: int, body: dict[str, Any]) -> HttpResponse:
    """Return the JSON answer, packed where the caller takes that. Over the limit: 413."""
    raw = _encoded(body)
    if len(raw) > LIMIT:
        return reply(request, 413, {"detail": "the answer would be over 10 MiB; ask for fewer"})
    response = HttpResponse(raw, content_type="application/json", status=status)
    response["Cache-Control"] = "no-store"
    response["Vary"] = "Accept-Encoding"
    if status == 401:
        response["WWW-Authenticate"] = "Token"
    if status == 429:
        response["Retry-After"] = "1"
    if status == 405 and request.resolver_match is not None:
        response["Allow"] = request.resolver_match.func.view_class().allowed()  # type: ignore[attr-defined]
    if len(raw) > _WORTH_PACKING and _takes_gzip(request):
        response.content = gzip.compress(raw, 1)  # the quickest level: a page already shrinks to a sixth
        response["Content-Encoding"] = "gzip"
    return response


class Encoded(list[str]):
    """A list whose items are JSON text already, because their size had to be known or the database had it."""


def _encoded(body: dict[str, Any]) -> bytes:
    results = body.get("results")
    if isinstance(results, Encoded):
        rest = _encoded({name: value for name, value in body.items() if name != "results"})
        return b'{"results":[' + ",".join(results).encode() + b"]" + (b"," if len(body) > 1 else b"") + rest[1:]
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except UnicodeEncodeError:  # an id with half a surrogate pair is told as it came
        return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()


def parse(raw: bytes) -> dict[str, Any]:
    """Return the JSON object of a body. Raise BadRequest; NaN and Infinity are no JSON."""
    try:
        body = json.loads(raw.decode(), parse_constant=_no_constant, parse_int=_integer)
    except (ValueError, RecursionError):
        raise BadRequest("the body is not JSON", ("body", "expected UTF-8 JSON, not nested too deep")) from None
    if not isinstance(body, dict):
        raise BadRequest("the body is not an object", ("body", "expected an object"))
    return body


def unpack(request: HttpRequest, packed: bytes) -> bytes:
    """Return the body unpacked. Raise BadRequest: 413 over the limit, 400 for what is no gzip."""
    coding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if coding in ("identity", ""):
        return packed
    if coding != "gzip":
        raise BadRequest("this encoding is not known", ("Content-Encoding", "expected gzip or none"))
    raw, rest = b"", packed
    try:
        while rest:  # a gzip body may have several members
            member = zlib.decompressobj(wbits=31)
            raw += member.decompress(rest, LIMIT + 1 - len(raw))
            if len(raw) > LIMIT:
                raise BadRequest("the body is over 10 MiB unpacked", status=413)
            if not member.eof:
                raise zlib.error
            rest = member.unused_data
    except zlib.error:
        raise BadRequest("the body is not gzip", ("body", "cut short or broken")) from None
    return raw


def _body(request: HttpRequest) -> bytes:
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length.isdigit() and int(length) > LIMIT:
        raise BadRequest("the body is over 10 MiB", status=413)
    packed: bytes = request.read(LIMIT + 1)  # not `body`, which stops at DATA_UPLOAD_MAX_MEMORY_SIZE
    if len(packed) > LIMIT:
        raise BadRequest("the body is over 10 MiB", status=413)
    return packed


def _takes_gzip(request: HttpRequest) -> bool:
    for part in request.headers.get("Accept-Encoding", "").lower().split(","):
        coding, _, weight = part.strip().partition(";")
        if coding in ("gzip", "*"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _no_constant(_: str) -> Any:
    raise ValueError


def _integer(text: str) -> int | float:
    return int(text) if len(text) <= _DIGITS else float("inf")  # refused later, as a value past a double
