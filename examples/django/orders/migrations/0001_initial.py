from django.db import migrations, models

NUMBER = models.BigAutoField(
    auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
)


class Migration(migrations.Migration):  # type: ignore[misc]
    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="Book",
            fields=[
                ("id", NUMBER.clone()),
                ("title", models.CharField(max_length=200, unique=True)),
                ("copies", models.PositiveIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", NUMBER.clone()),
                ("title", models.CharField(max_length=200)),
                ("copies", models.PositiveIntegerField()),
                ("status", models.CharField(max_length=20, default="placed")),
            ],
        ),
    )
