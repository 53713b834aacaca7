from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="SeenNonce",
            fields=[
                ("nonce", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("expires_at", models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name="SyncToken",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100, unique=True)),
                ("digest", models.CharField(editable=False, max_length=64, unique=True)),
                (
                    "role",
                    models.CharField(
                        choices=[("viewer", "viewer: status and digest"), ("sync", "sync: everything")], max_length=10
                    ),
                ),
                (
                    "tenants",
                    models.JSONField(blank=True, default=None, help_text='list; empty means all; "" is "no tenant"', null=True),
                ),
                ("active", models.BooleanField(default=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("last_used_at", models.DateTimeField(blank=True, editable=False, null=True)),
            ],
            options={"verbose_name": "token"},
        ),
        migrations.CreateModel(
            name="QueueEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("change_id", models.CharField(max_length=36, unique=True)),
                ("entity", models.CharField(max_length=32)),
                ("tenant", models.CharField(blank=True, default="", max_length=255)),
                ("key", models.CharField(max_length=255)),
                (
                    "spread",
                    models.BigIntegerField(help_text="hash of the record: its edits lie together, and no key is in a cursor"),
                ),
                ("shard", models.BigIntegerField(help_text="crc32 of the key")),
                ("action", models.CharField(max_length=6)),
                ("fields", models.JSONField(default=dict)),
                ("stamp", models.CharField(max_length=60)),
                ("base", models.JSONField(default=dict)),
                ("deleted", models.CharField(blank=True, default="", max_length=60)),
                ("deleted_base", models.JSONField(default=dict)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "pending"),
                            ("synced", "synced"),
                            ("superseded", "superseded"),
                            ("failed", "failed"),
                        ],
                        default="pending",
                        max_length=10,
                    ),
                ),
                ("created_at", models.DateTimeField()),
                ("synced_at", models.DateTimeField(blank=True, null=True)),
                ("run_id", models.CharField(blank=True, default="", max_length=200)),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("error", models.CharField(blank=True, default="", max_length=500)),
            ],
            options={
                "verbose_name_plural": "queue entries",
                "indexes": [
                    models.Index(fields=["status", "spread", "stamp", "id"], name="syncqueue_pages"),
                    models.Index(fields=["entity", "tenant", "key"], name="syncqueue_of_record"),
                    models.Index(fields=["status", "synced_at"], name="syncqueue_finished"),
                ],
            },
        ),
        migrations.CreateModel(
            name="RecordIndex",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("entity", models.CharField(max_length=32)),
                ("tenant", models.CharField(blank=True, default="", max_length=255)),
                ("key", models.CharField(max_length=255)),
                (
                    "place",
                    models.BinaryField(help_text="key and tenant as UTF-8: their order is the contract's order", max_length=1024),
                ),
                ("bucket", models.BigIntegerField(help_text="first 32 bits of SHA-256 of tenant and key")),
                ("stamps", models.JSONField(default=dict)),
                ("prints", models.JSONField(default=dict)),
                ("values", models.JSONField(default=None, help_text="hidden last values; only of a tombstone", null=True)),
                ("deleted", models.CharField(blank=True, default="", max_length=60)),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "verbose_name": "record",
                "indexes": [
                    models.Index(fields=["entity", "place"], name="syncqueue_in_order"),
                    models.Index(
                        condition=models.Q(("deleted", ""), _negated=True), fields=["deleted"], name="syncqueue_tombstones"
                    ),
                ],
                "constraints": [models.UniqueConstraint(fields=("entity", "tenant", "key"), name="syncqueue_one_index_a_record")],
            },
        ),
        migrations.CreateModel(
            name="Tombstone",
            fields=[],
            options={"verbose_name": "tombstone", "proxy": True, "indexes": [], "constraints": []},
            bases=("syncqueue.recordindex",),
        ),
        migrations.CreateModel(
            name="SyncConflict",
            fields=[
                ("conflict_id", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("entity", models.CharField(max_length=32)),
                ("tenant", models.CharField(blank=True, default="", max_length=255)),
                ("key", models.CharField(max_length=255)),
                ("field", models.CharField(max_length=200)),
                ("winner", models.CharField(max_length=8)),
                ("local", models.JSONField()),
                ("incoming", models.JSONField()),
                ("run_id", models.CharField(blank=True, default="", max_length=200)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("acknowledged_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "verbose_name": "conflict",
                "indexes": [models.Index(fields=["entity", "tenant", "key"], name="syncqueue_conflicts_of")],
            },
        ),
    ]
