"""The overview is the queue seen as a whole: a page of its own in the admin, and no table."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("syncqueue", "0002_shards_in_the_index_of_pages")]

    operations = [
        migrations.CreateModel(
            name="Overview",
            fields=[],
            options={"verbose_name_plural": "overview", "proxy": True, "indexes": [], "constraints": []},
            bases=("syncqueue.queueentry",),
        )
    ]
