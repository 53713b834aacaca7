"""Which pages are made from the code, and by what."""

from collections.abc import Callable, Mapping

from local import command_line
from local.reference import functions, rest, settings, state

PAGES: Mapping[str, Callable[[], str]] = {
    "docs/command-line.md": command_line.page,
    "docs/reference-sync-yaml.md": settings.page,
    "docs/reference-functions.md": functions.page,
    "docs/reference-firestore.md": state.page,
    "docs/reference-rest.md": rest.page,
}
"""By the path of the page."""
