from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("syncqueue", "0002_shards_in_the_index_of_pages")]

    operations = [
        migrations.AddField(
            model_name="queueentry", name="correlation_id", field=models.CharField(blank=True, default="", max_length=200)
        )
    ]
