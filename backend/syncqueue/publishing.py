"""Events that belong to no model: application code puts them into the queue, and they travel as edits do."""

from collections.abc import Mapping
from typing import Any

from django.db import DEFAULT_DB_ALIAS, transaction

from .correlation import correlated
from .index import adopt_published
from .registry import registry


def publish(
    entity: str,
    key: str,
    payload: Mapping[str, Any],
    correlation_id: str = "",
    *,
    tenant: str = "",
    using: str = DEFAULT_DB_ALIAS,
) -> str | None:
    """Queue an event and return its id; None if the key was published with this very payload before.

    `entity` is one of SYNC_QUEUE["published"], which names its fields; what the payload leaves out is null. Inside a transaction
    the event is queued if that is committed. ValueError names what is wrong, without a value.
    """
    names = registry().published.get(entity)
    if names is None:
        raise ValueError(f"no entity of this name is published; there are: {', '.join(registry().published) or 'none'}")
    if not key or not payload.keys() <= set(names):
        raise ValueError(f"{entity}: expected a key, and a payload of some of: {', '.join(names)}")
    with transaction.atomic(using=using), correlated(correlation_id):
        return adopt_published(entity, using, (tenant, key), {name: payload.get(name) for name in names})
