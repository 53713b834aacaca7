from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("syncqueue", "0004_correlation")]

    operations = [
        migrations.CreateModel(
            name="GoneRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("entity", models.CharField(max_length=32)),
                ("tenant", models.CharField(blank=True, default="", max_length=255)),
                ("key", models.CharField(max_length=255)),
                ("row", models.CharField(max_length=255)),
                ("gone_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={"indexes": [models.Index(fields=["entity", "tenant", "key"], name="syncqueue_gone_rows_of")]},
        )
    ]
