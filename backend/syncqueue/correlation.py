"""By which id an edit can be followed through systems: `with correlated("order-77"):` marks all edits made within."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

LONGEST = 200
_current: ContextVar[str] = ContextVar("correlation_id", default="")


def current() -> str:
    """Return the id that holds here, or nothing."""
    return _current.get()


@contextmanager
def correlated(correlation_id: str) -> Iterator[None]:
    """Give edits made within this id. It is logged: let it name no person. ValueError if it is over 200 characters."""
    if len(correlation_id) > LONGEST:
        raise ValueError(f"a correlation id has at most {LONGEST} characters")
    token = _current.set(correlation_id)
    try:
        yield
    finally:
        _current.reset(token)
