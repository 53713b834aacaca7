"""Signed requests, as the REST contract has it: who holds a key may ask, and nobody else."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from datetime import datetime

from werkzeug.datastructures import Headers

from shared.errors import Refused

WINDOW = 300
"""Seconds by which a request's time may be off."""
_SECONDS, _NONCE = re.compile(r"\d{1,12}", re.ASCII), re.compile(r"[0-9a-f]{32}")


def signature(key: str, at: str, nonce: str, method: str, target: str, body: bytes) -> str:
    """Return the signature of a request; `target` is path and query as on the request line."""
    signed = "\n".join((at, nonce, method, target, "")).encode() + body
    return "v1=" + hmac.new(key.encode(), signed, hashlib.sha256).hexdigest()


def check(headers: Headers, method: str, targets: Iterable[str], body: bytes, key: str, now: datetime) -> None:
    """Raise Refused (401) unless the request is signed with the key, for one of these targets, and of the last minutes.

    That one comes twice is let pass: what is asked for here does no harm when it is repeated.
    """
    at, nonce = headers.get("X-Sync-Timestamp", ""), headers.get("X-Sync-Nonce", "")
    given = headers.get("X-Sync-Signature", "").encode()
    if not _SECONDS.fullmatch(at) or not _NONCE.fullmatch(nonce):
        raise Refused(401, "send X-Sync-Timestamp, X-Sync-Nonce (16 bytes as hex) and X-Sync-Signature")
    if abs(now.timestamp() - int(at)) > WINDOW:
        raise Refused(401, "the timestamp is more than 5 minutes off; set the clock of the machine that sends it")
    wanted = [signature(key, at, nonce, method, target, body).encode() for target in targets]
    if sum(hmac.compare_digest(each, given) for each in wanted) == 0:
        raise Refused(401, "the signature does not fit; is it made with the journal's event key, over the body as it is sent?")
