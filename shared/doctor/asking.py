"""What the local stack is asked by plain HTTP."""

from __future__ import annotations

from typing import Any

import requests

from shared.errors import Transient

SECONDS = 10


def rules_of_emulator(host: str, project: str) -> str | None:
    """Return the security rules in force in the emulator; None where there are none. Transient where it does not answer."""
    told = _asked(f"http://{host}/emulator/v1/projects/{project}:securityRules", {"Authorization": "Bearer owner"})
    return "".join(each["content"] for each in told.get("rules", {}).get("files", ())) or None


def served(url: str) -> dict[str, str]:
    """Return the functions that a local host serves: `http` or `cloudevent` by name. Transient where it does not answer."""
    return dict(_asked(f"{url.rstrip('/')}/", {}).get("functions", {}))


def _asked(url: str, headers: dict[str, str]) -> dict[str, Any]:
    try:
        answer = requests.get(url, headers=headers, timeout=SECONDS)
        found: dict[str, Any] = answer.json()
    except (requests.RequestException, ValueError) as error:
        raise Transient(f"{url.partition('/emulator')[0]} does not answer as it should ({type(error).__name__})") from None
    return found
