"""What the tests of declarations must not leave behind."""

import pytest
from celery import _state as celery_state


@pytest.fixture
def forgotten_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the tasks that are declared here from the apps of other tests."""
    monkeypatch.setattr(celery_state, "_on_app_finalizers", set(celery_state._on_app_finalizers))  # noqa: SLF001
    monkeypatch.setattr(celery_state, "_get_active_apps", list)
