"""What became of the conflicts that are kept here, told from what the record holds now."""

from collections.abc import Iterable
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from .models import RecordIndex, SyncConflict

UNDECIDED, HERE, THERE, ANEW = "undecided", "kept this side's", "took the other side's", "written anew since"
MOST = 1000


def with_index(found: QuerySet[Any]) -> QuerySet[Any]:
    """Return conflicts with `now_stamps` and `now_deleted`: the index of the record that each is about."""
    index = RecordIndex.objects.filter(entity=OuterRef("entity"), tenant=OuterRef("tenant"), key=OuterRef("key"))
    told: QuerySet[Any] = found.annotate(
        now_stamps=Subquery(index.values("stamps")[:1]), now_deleted=Subquery(index.values("deleted")[:1])
    )
    return told


def state_of(conflict: Any) -> str:
    """Return what became of a conflict that was read by `with_index`."""
    now = conflict.now_deleted or (conflict.now_stamps or {}).get(conflict.field)
    if now not in {conflict.local["stamp"], conflict.incoming["stamp"]}:
        return ANEW
    if conflict.winner == "none":
        return UNDECIDED
    return HERE if now == conflict.local["stamp"] else THERE


def undecided(found: QuerySet[Any]) -> Iterable[SyncConflict]:
    """Yield those of these conflicts that wait for somebody; at most the first thousand are looked at."""
    for conflict in with_index(found.filter(winner="none")).order_by("-created_at")[:MOST]:
        if state_of(conflict) == UNDECIDED:
            yield conflict
