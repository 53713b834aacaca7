import django.db.models.deletion
from django.db import migrations, models

import content.models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Concept",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("slug", models.SlugField(max_length=80, unique=True)),
                ("title", models.CharField(max_length=200)),
                ("summary", models.TextField(blank=True, null=True)),
                ("level", models.IntegerField(default=1)),
                ("tags", models.JSONField(blank=True, null=True)),
            ],
            options={"ordering": ["slug"]},
        ),
        migrations.CreateModel(
            name="Learner",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.CharField(max_length=40, unique=True)),
                ("name", models.CharField(max_length=200)),
                ("joined_on", models.DateField(blank=True, null=True)),
            ],
            options={"ordering": ["code"]},
        ),
        migrations.CreateModel(
            name="LearningPath",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("slug", models.SlugField(max_length=80, unique=True)),
                ("title", models.CharField(max_length=200)),
            ],
            options={"ordering": ["slug"]},
        ),
        migrations.CreateModel(
            name="Progress",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.CharField(default=content.models.new_code, max_length=64, unique=True)),
                ("score", models.DecimalField(blank=True, decimal_places=2, max_digits=5, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "concept",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="progress", to="content.concept"),
                ),
                (
                    "learner",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="progress", to="content.learner"),
                ),
            ],
            options={"verbose_name_plural": "progress", "ordering": ["code"]},
        ),
        migrations.CreateModel(
            name="Requirement",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.CharField(default=content.models.new_code, max_length=64, unique=True)),
                ("weight", models.FloatField(default=1.0)),
                (
                    "concept",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="requirements", to="content.concept"
                    ),
                ),
                (
                    "needs",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="opens", to="content.concept"),
                ),
            ],
            options={"ordering": ["code"]},
        ),
        migrations.CreateModel(
            name="Step",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.CharField(default=content.models.new_code, max_length=64, unique=True)),
                ("position", models.IntegerField()),
                (
                    "concept",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="steps", to="content.concept"),
                ),
                (
                    "path",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="steps", to="content.learningpath"
                    ),
                ),
            ],
            options={"ordering": ["path", "position"]},
        ),
    ]
