import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Branch",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.CharField(max_length=20, unique=True)),
                ("name", models.CharField(max_length=100)),
                ("city", models.CharField(blank=True, default="", max_length=100)),
            ],
            options={"verbose_name_plural": "branches", "ordering": ["code"]},
        ),
        migrations.CreateModel(
            name="Interest",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("slug", models.SlugField(unique=True)),
                ("name", models.CharField(max_length=100)),
            ],
            options={"ordering": ["slug"]},
        ),
        migrations.CreateModel(
            name="Event",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("tenant", models.CharField(max_length=20)),
                ("code", models.CharField(max_length=40)),
                ("title", models.CharField(max_length=200)),
                ("starts_at", models.DateTimeField(blank=True, null=True)),
                ("details", models.JSONField(blank=True, null=True)),
            ],
            options={
                "ordering": ["tenant", "code"],
                "constraints": [models.UniqueConstraint(fields=("tenant", "code"), name="one_event_a_code")],
            },
        ),
        migrations.CreateModel(
            name="Member",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("national_id", models.CharField(max_length=20, unique=True)),
                ("name", models.CharField(max_length=200)),
                ("email", models.EmailField(blank=True, max_length=254, null=True, unique=True)),
                ("phone", models.CharField(blank=True, max_length=40, null=True)),
                ("birth_date", models.DateField(blank=True, null=True)),
                ("fee", models.DecimalField(blank=True, decimal_places=2, max_digits=10, null=True)),
                ("paid_until", models.DateField(blank=True, null=True)),
                ("active", models.BooleanField(default=True)),
                ("address", models.JSONField(blank=True, null=True)),
                ("notes", models.TextField(blank=True, null=True)),
                ("joined_at", models.DateTimeField(blank=True, default=django.utils.timezone.now, null=True)),
                ("visits", models.IntegerField(default=0)),
                (
                    "branch",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="members",
                        to="members.branch",
                    ),
                ),
                ("interests", models.ManyToManyField(blank=True, related_name="members", to="members.interest")),
            ],
            options={"ordering": ["name"]},
        ),
    ]
