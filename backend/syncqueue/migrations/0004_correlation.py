from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("syncqueue", "0003_overview")]

    operations = [
        migrations.AddField(
            model_name="queueentry", name="correlation_id", field=models.CharField(blank=True, default="", max_length=200)
        )
    ]
