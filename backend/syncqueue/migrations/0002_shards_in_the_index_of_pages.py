"""The index of pages holds the shard too: a page of one shard skips the others without reading their rows."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("syncqueue", "0001_initial")]

    operations = [
        migrations.RemoveIndex(model_name="queueentry", name="syncqueue_pages"),
        migrations.AddIndex(
            model_name="queueentry",
            index=models.Index(fields=["status", "spread", "stamp", "id", "shard"], name="syncqueue_pages"),
        ),
    ]
