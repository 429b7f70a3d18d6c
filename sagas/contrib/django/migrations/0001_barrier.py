"""The barrier's table, for databases in which steps have effects."""

from django.db import migrations

from sagas.contrib.django.operations import CreateBarrier


class Migration(migrations.Migration):  # type: ignore[misc]  # Django has no types
    """The first migration."""

    initial = True
    dependencies = ()
    operations = (CreateBarrier(),)
