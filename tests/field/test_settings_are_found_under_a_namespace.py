"""Settings in another framework's module, under one of Celery's namespaces."""

from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery

import sagas
from sagas import ConfigurationError
from sagas.runtime.app import runtime_of
from sagas.runtime.settings import Settings

URL = "sqlite:///record.db"


def configured(namespace: str | None = "CELERY", **names: Any) -> Settings:
    """Return the settings of an app whose configuration is an object with these names."""
    app = Celery("shop", set_as_current=False)
    app.config_from_object(SimpleNamespace(**names), namespace=namespace)
    sagas.setup(app)
    return runtime_of(app).settings


@pytest.fixture(autouse=True)
def no_database_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAGAS_DATABASE_URL", raising=False)


def test_every_setting_is_found_by_its_name_under_the_namespace() -> None:
    settings = configured(
        CELERY_SAGA_DATABASE_URL=URL,
        CELERY_SAGA_SWEEP_INTERVAL_S=2.0,
        CELERY_SAGA_LEASE_S=30.0,
        CELERY_SAGA_QUEUE="engine",
        CELERY_SAGA_PAYLOAD_LIMIT_BYTES=7,
        CELERY_SAGA_ALERT_URLS=["https://pager.example/x"],
        CELERY_SAGA_CODEC="no.such:codec",
    )
    assert settings == Settings(
        saga_database_url=URL,
        saga_sweep_interval_s=2.0,
        saga_lease_s=30.0,
        saga_queue="engine",
        saga_payload_limit_bytes=7,
        saga_alert_urls=["https://pager.example/x"],
        saga_codec="no.such:codec",
    )


def test_a_namespace_may_be_written_in_lower_case() -> None:
    assert configured("my_app_", my_app_saga_database_url=URL).saga_database_url == URL


def test_settings_are_found_before_the_configuration_is_read_and_when_it_changes_later() -> None:
    app = Celery("shop", set_as_current=False)
    app.config_from_object(SimpleNamespace(CELERY_SAGA_DATABASE_URL=URL), namespace="CELERY")
    app.conf.saga_lease_s = 9.0
    sagas.setup(app)
    assert runtime_of(app).settings == Settings(URL, saga_lease_s=9.0)


@pytest.mark.parametrize(
    ("namespace", "written", "meant"),
    [
        ("CELERY", "CELERY_SAGA_LEESE_S", "CELERY_SAGA_LEASE_S"),
        ("CELERY", "CELERY_SAGAS_LEASE_S", "CELERY_SAGA_LEASE_S"),
        ("CELERY", "SAGA_LEASE_S", "CELERY_SAGA_LEASE_S"),
        ("CELERY", "celery_saga_lease_s", "CELERY_SAGA_LEASE_S"),
        ("CELERY", "saga_leese_s", "CELERY_SAGA_LEASE_S"),
        ("my_app", "my_app_saga_alert_url", "my_app_saga_alert_urls"),
        (None, "SAGA_LEASE_S", "saga_lease_s"),
        (None, "saga_leese_s", "saga_lease_s"),
    ],
)
def test_a_setting_that_would_be_ignored_is_refused_with_the_intended_name(
    namespace: str | None, written: str, meant: str
) -> None:
    url = {"CELERY": "CELERY_SAGA_DATABASE_URL", "my_app": "my_app_saga_database_url"}
    given = {url.get(namespace or "", "saga_database_url"): URL, written: 5.0}
    with pytest.raises(ConfigurationError) as raised:
        configured(namespace, **given)
    assert f"Unknown setting {written}. Did you mean {meant}?" in str(raised.value)


def test_names_of_other_frameworks_are_left_alone() -> None:
    settings = configured(CELERY_SAGA_DATABASE_URL=URL, SAGA_OF_THE_FAMILY=1, sagas=sagas, SAGAS=[])
    assert settings == Settings(URL)


def test_the_error_about_a_missing_database_uses_the_name_under_the_namespace() -> None:
    with pytest.raises(ConfigurationError, match="CELERY_SAGA_DATABASE_URL is not set"):
        configured(CELERY_BROKER_URL="memory://")


@pytest.fixture
def _django_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    conf = pytest.importorskip("django.conf", reason="Django is not installed")
    ours = conf.LazySettings()
    ours.configure(CELERY_SAGA_DATABASE_URL=URL, CELERY_SAGA_LEASE_S=5.0)
    monkeypatch.setattr(conf, "settings", ours)


@pytest.mark.usefixtures("_django_settings")
def test_django_settings_are_found_as_its_guide_writes_them() -> None:
    app = Celery("shop", set_as_current=False)
    app.config_from_object("django.conf:settings", namespace="CELERY")
    sagas.setup(app)
    assert runtime_of(app).settings == Settings(URL, saga_lease_s=5.0)
