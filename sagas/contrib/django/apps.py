"""The Django app: ``migrate`` creates the barrier's table, and upgrades the record."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate

from sagas.contrib.django.record import upgrade_record

__all__ = ["SagasConfig"]


class SagasConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """``"sagas.contrib.django"`` in INSTALLED_APPS."""

    name = "sagas.contrib.django"
    label = "sagas"
    verbose_name = "Sagas"

    def ready(self) -> None:
        """Have the record upgraded by ``manage.py migrate``, and created in test databases."""
        post_migrate.connect(_upgrade_record, sender=self)


def _upgrade_record(using: str, **_: Any) -> None:
    upgrade_record(using)
