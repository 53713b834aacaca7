"""Who may call: tokens with roles and tenants, and signed requests. Nothing here reads a record."""

import hashlib
import hmac
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.http import HttpRequest
from django.utils.encoding import iri_to_uri

from .models import SeenNonce, SyncToken

WINDOW = 300  # seconds that a timestamp may be off
NONCE_KEPT = timedelta(minutes=10)
_USED_EVERY = timedelta(minutes=1)
_NONCE = re.compile(r"[0-9a-f]{32}", re.ASCII)
_SECONDS = re.compile(r"\d{1,12}", re.ASCII)


class Denied(Exception):
    """A call that is refused: 401 or 403."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


@dataclass(frozen=True)
class Caller:
    """The token behind a call. `tenants` None: all of them; "" among them: records without a tenant."""

    name: str
    role: str
    tenants: frozenset[str] | None

    def may_touch(self, tenant: str) -> bool:
        return self.tenants is None or tenant in self.tenants

    @property
    def only(self) -> Q:
        """The condition that leaves only what this caller may see."""
        return Q() if self.tenants is None else Q(tenant__in=sorted(self.tenants))


def digest_of(token: str) -> str:
    """Return what is stored of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def authenticate(request: HttpRequest) -> Caller:
    """Return who calls. Raise Denied (401)."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "token" or not value.strip():
        raise Denied(401, "send `Authorization: Token ...`")
    token = SyncToken.objects.filter(digest=digest_of(value.strip()), active=True).first()
    if token is None:
        raise Denied(401, "the token is not known, or no longer active")
    _mark_used(token)
    return Caller(token.name, token.role, None if token.tenants is None else frozenset(token.tenants))


def allow(caller: Caller, roles: tuple[str, ...]) -> None:
    """Raise Denied (403) where the token's role is not enough."""
    if caller.role not in roles:
        raise Denied(403, f"the token's role is {caller.role}; needed: {' or '.join(roles)}")


def check_signature(request: HttpRequest, body: bytes) -> None:
    """Raise Denied (401) where keys are set and the request is not signed by one of them, too old, or a replay."""
    keys = getattr(settings, "SYNC_QUEUE_SIGNING_KEYS", ())
    if not keys:
        return
    at, nonce = request.headers.get("X-Sync-Timestamp", ""), request.headers.get("X-Sync-Nonce", "")
    given = request.headers.get("X-Sync-Signature", "")
    if not _SECONDS.fullmatch(at) or not _NONCE.fullmatch(nonce):
        raise Denied(401, "send X-Sync-Timestamp, X-Sync-Nonce (16 bytes as hex) and X-Sync-Signature")
    if abs(time.time() - int(at)) > WINDOW:
        raise Denied(401, "the timestamp is more than 5 minutes off")
    signed = f"{at}\n{nonce}\n{request.method}\n{request_target(request)}\n".encode() + body
    wanted = ["v1=" + hmac.new(key.encode(), signed, hashlib.sha256).hexdigest() for key in keys]
    # every key is tried, so that the time taken does not tell which one fits
    if sum(hmac.compare_digest(one.encode(), given.encode()) for one in wanted) == 0:
        raise Denied(401, "the signature does not fit")
    _remember(nonce)


def request_target(request: HttpRequest) -> str:
    """Return path and query as on the request line; servers that do not tell get it put together again."""
    raw = str(request.META.get("RAW_URI") or request.META.get("REQUEST_URI") or "")
    if raw:
        return "/" + raw.split("://", 1)[1].partition("/")[2] if "://" in raw.partition("?")[0] else raw
    query = request.META.get("QUERY_STRING", "")
    return iri_to_uri(request.path) + (f"?{query}" if query else "")


def _remember(nonce: str) -> None:
    try:
        with transaction.atomic():
            SeenNonce.objects.create(nonce=nonce, expires_at=datetime.now(UTC) + NONCE_KEPT)
    except IntegrityError:
        raise Denied(401, "the nonce was seen before") from None


def _mark_used(token: SyncToken) -> None:
    """Note the use, at most once a minute: a write for every call would be the dearest part of it."""
    now = datetime.now(UTC)
    if token.last_used_at is None or now - token.last_used_at > _USED_EVERY:
        SyncToken.objects.filter(pk=token.pk).update(last_used_at=now)
