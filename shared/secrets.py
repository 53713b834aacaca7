"""Secrets from Secret Manager, kept for a short while and never shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.errors import TerminalBatch, Transient

SECRET_LIFE = timedelta(minutes=5)
SECRET_SECONDS = 15
"""How long to go on asking a Secret Manager that does not answer."""


@dataclass
class Secrets:
    """Secret Manager, asked again after five minutes, so that a rotation needs no redeploy."""

    project: str
    client: Any
    now: Callable[[], datetime]
    _known: dict[str, tuple[datetime, str]] = field(default_factory=dict, repr=False)

    def get(self, name: str) -> str:
        """Return the latest version of a secret; TerminalBatch if there is none or it may not be read."""
        since, value = self._known.get(name, (datetime.min.replace(tzinfo=UTC), ""))
        if self.now() - since >= SECRET_LIFE:
            value = self._fetch(name)
            self._known[name] = (self.now(), value)
        return value

    def _fetch(self, name: str) -> str:
        from google.api_core import exceptions, retry

        passing = retry.if_exception_type(exceptions.ServiceUnavailable, exceptions.ResourceExhausted)
        patient = retry.Retry(passing, initial=0.5, maximum=4, timeout=SECRET_SECONDS)
        place = f"projects/{self.project}/secrets/{name}/versions/latest"
        try:
            return str(self.client.access_secret_version(name=place, retry=patient).payload.data.decode().strip())
        except (exceptions.NotFound, exceptions.PermissionDenied, exceptions.FailedPrecondition) as error:
            hint = "create it, and let the functions' service account read it"
            raise TerminalBatch(f"Secret Manager has no {name!r} for us ({type(error).__name__}); {hint}") from None
        except (exceptions.GoogleAPICallError, exceptions.RetryError) as error:
            raise Transient(f"Secret Manager did not answer for {name!r} ({type(error).__name__})") from None
        except UnicodeDecodeError:
            raise TerminalBatch(f"the secret {name!r} is not in UTF-8; store it anew as text") from None
