"""Google's and Firebase's ID tokens, verified by their own libraries with Google's certificates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from shared.errors import Refused, Transient

SKEW = 10
"""Seconds that our clock may be behind Google's, or ahead of it."""
REFUSED = "the token was not issued and signed as it should be, or has been changed since; get a new one"
NO_CERTIFICATES = "Google's certificates cannot be had, so no token can be checked; try again"


def google_claims(token: str, audiences: Iterable[str], certificates: Any) -> Mapping[str, Any]:
    """Return what a Google ID token for one of the audiences says; `certificates` is google-auth's request for them.

    Raises Refused (401) for any other token, Transient where there are no certificates.
    """
    from google.auth.exceptions import GoogleAuthError, TransportError
    from google.oauth2.id_token import verify_oauth2_token

    try:
        claims: Mapping[str, Any] = verify_oauth2_token(token, certificates, list(audiences), SKEW)  # type: ignore[no-untyped-call]
        return claims
    except TransportError:
        raise Transient(NO_CERTIFICATES) from None
    except (GoogleAuthError, ValueError, TypeError):
        raise Refused(401, REFUSED) from None


def firebase_claims(token: str, app: Any) -> Mapping[str, Any]:
    """Return what an ID token of a user of the Firebase project says; `app` is firebase_admin's.

    Raises Refused (401) for any other token, Transient where there are no certificates. Where FIREBASE_AUTH_EMULATOR_HOST
    is set, the library takes tokens that nobody signed.
    """
    from firebase_admin import auth
    from firebase_admin.exceptions import FirebaseError

    try:
        claims: Mapping[str, Any] = auth.verify_id_token(token, app, clock_skew_seconds=SKEW)
        return claims
    except auth.CertificateFetchError:
        raise Transient(NO_CERTIFICATES) from None
    except (FirebaseError, ValueError, TypeError):
        raise Refused(401, REFUSED) from None
