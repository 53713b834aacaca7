"""The tables of the queue: the index, the entries, the conflicts, and who may call."""

from typing import Any

from django.db import models


class RecordIndex(models.Model):
    """What this side remembers of one record: per field its stamp and fingerprint; for a tombstone the last values.

    A row without stamps and without `deleted` is a placeholder to lock: nothing is known of such a record.
    """

    entity = models.CharField(max_length=32)
    tenant = models.CharField(max_length=255, blank=True, default="")
    key = models.CharField(max_length=255)
    place = models.BinaryField(max_length=1024, help_text="key and tenant as UTF-8: their order is the contract's order")
    bucket = models.BigIntegerField(help_text="first 32 bits of SHA-256 of tenant and key")
    stamps = models.JSONField(default=dict)
    prints = models.JSONField(default=dict)
    values = models.JSONField(null=True, default=None, help_text="hidden last values; only of a tombstone")
    deleted = models.CharField(max_length=60, blank=True, default="")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "record"
        constraints = [models.UniqueConstraint(fields=["entity", "tenant", "key"], name="syncqueue_one_index_a_record")]
        indexes = [
            models.Index(fields=["entity", "place"], name="syncqueue_in_order"),
            models.Index(fields=["deleted"], name="syncqueue_tombstones", condition=~models.Q(deleted="")),
        ]

    def __str__(self) -> str:
        return f"{self.entity} #{self.pk}"


class Tombstone(RecordIndex):
    """The tombstones among the index rows."""

    class Meta:
        proxy = True
        verbose_name = "tombstone"


class QueueEntry(models.Model):
    """One adopted edit on its way out. Immutable, save for its status."""

    PENDING, SYNCED, SUPERSEDED, FAILED = "pending", "synced", "superseded", "failed"
    STATUSES = [(status, status) for status in (PENDING, SYNCED, SUPERSEDED, FAILED)]

    change_id = models.CharField(max_length=36, unique=True)
    entity = models.CharField(max_length=32)
    tenant = models.CharField(max_length=255, blank=True, default="")
    key = models.CharField(max_length=255)
    spread = models.BigIntegerField(help_text="hash of the record: its edits lie together, and no key is in a cursor")
    shard = models.BigIntegerField(help_text="crc32 of the key")
    action = models.CharField(max_length=6)
    fields = models.JSONField(default=dict)
    stamp = models.CharField(max_length=60)
    base = models.JSONField(default=dict)
    deleted = models.CharField(max_length=60, blank=True, default="")
    deleted_base = models.JSONField(default=dict)
    status = models.CharField(max_length=10, choices=STATUSES, default=PENDING)
    created_at = models.DateTimeField()
    synced_at = models.DateTimeField(null=True, blank=True)
    run_id = models.CharField(max_length=200, blank=True, default="")
    attempts = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=500, blank=True, default="")
    correlation_id = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        verbose_name_plural = "queue entries"
        indexes = [
            models.Index(fields=["status", "spread", "stamp", "id", "shard"], name="syncqueue_pages"),
            models.Index(fields=["entity", "tenant", "key"], name="syncqueue_of_record"),
            models.Index(fields=["status", "synced_at"], name="syncqueue_finished"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.entity} {self.change_id}"


class Overview(QueueEntry):
    """The queue, seen as a whole."""

    class Meta:
        proxy = True
        verbose_name_plural = "overview"


class SyncConflict(models.Model):
    """Two writes of one field that had not seen each other, kept until the other end has stored them."""

    conflict_id = models.CharField(max_length=32, primary_key=True)
    entity = models.CharField(max_length=32)
    tenant = models.CharField(max_length=255, blank=True, default="")
    key = models.CharField(max_length=255)
    field = models.CharField(max_length=200)
    winner = models.CharField(max_length=8)
    local = models.JSONField()
    incoming = models.JSONField()
    run_id = models.CharField(max_length=200, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "conflict"
        indexes = [models.Index(fields=["entity", "tenant", "key"], name="syncqueue_conflicts_of")]

    def __str__(self) -> str:
        return f"{self.entity}.{self.field} {self.conflict_id}"

    def wire(self) -> dict[str, Any]:
        """Return the conflict as it stands in a Result."""
        parts = {"id": self.conflict_id, "field": self.field, "winner": self.winner}
        return parts | {"local": self.local, "incoming": self.incoming}


class SyncToken(models.Model):
    """Who may call. Only the SHA-256 of the token is kept."""

    VIEWER, SYNC = "viewer", "sync"

    name = models.CharField(max_length=100, unique=True)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    role = models.CharField(max_length=10, choices=[(VIEWER, "viewer: status and digest"), (SYNC, "sync: everything")])
    tenants = models.JSONField(null=True, blank=True, default=None, help_text='list; empty means all; "" is "no tenant"')
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "token"

    def __str__(self) -> str:
        return self.name


class SeenNonce(models.Model):
    """A nonce of a signed request, kept for ten minutes."""

    nonce = models.CharField(max_length=32, primary_key=True)
    expires_at = models.DateTimeField(db_index=True)


class GoneRow(models.Model):
    """A row that is gone, and of which the admin's history speaks: the record that it was."""

    entity = models.CharField(max_length=32)
    tenant = models.CharField(max_length=255, blank=True, default="")
    key = models.CharField(max_length=255)
    row = models.CharField(max_length=255)
    gone_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["entity", "tenant", "key"], name="syncqueue_gone_rows_of")]
