"""Gives Firebase's users a role, and takes it from them."""

from __future__ import annotations

from typing import Any

from shared.callers import CLAIM, Role
from shared.errors import BadRequest, NotFound, TerminalBatch


def give(app: Any, email: str, role: Role | None) -> str:
    """Let the user with this address have a role, or none, and return their id; `app` is firebase_admin's. Other claims stay.

    Tokens given out before are good until they expire, within the hour. Raises NotFound, BadRequest for what is no address,
    TerminalBatch where Firebase refuses.
    """
    from firebase_admin import auth
    from firebase_admin.exceptions import FirebaseError

    try:
        user = auth.get_user_by_email(email, app)
        claims = {name: value for name, value in (user.custom_claims or {}).items() if name != CLAIM}
        auth.set_custom_user_claims(user.uid, claims | ({CLAIM: role.value} if role else {}), app)
    except auth.UserNotFoundError:
        raise NotFound("nobody has an account with this address; let them sign in once, then try again") from None
    except ValueError:
        raise BadRequest("this is no e-mail address") from None
    except FirebaseError as error:
        hint = "let this account manage users: roles/firebaseauth.admin"
        raise TerminalBatch(f"Firebase did not change the user ({type(error).__name__}, {error.code}); {hint}") from None
    return str(user.uid)
