"""The settings."""

import math
from typing import Any

import pytest
from celery import Celery

from sagas import ConfigurationError
from sagas.runtime.settings import Settings

URL = "postgresql+psycopg://me@here/sagas"


def read(**given: Any) -> Settings:
    return Settings.read({"saga_database_url": URL, **given})


def test_only_the_database_must_be_set() -> None:
    settings = read()
    assert settings.saga_database_url == URL
    assert (settings.saga_lease_s, settings.saga_sweep_interval_s) == (3.0, 1.0)
    assert settings.saga_queue is None


def test_settings_are_read_from_the_celery_configuration() -> None:
    app = Celery("configured", set_as_current=False)
    app.conf.update(saga_database_url=URL, saga_lease_s=7, saga_queue="engine")
    settings = Settings.read(app.conf)
    assert (settings.saga_lease_s, settings.saga_queue) == (7, "engine")


@pytest.mark.parametrize("url", [None, "", "absent"])
def test_a_missing_database_is_an_error_that_shows_how_to_set_it(
    url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SAGAS_DATABASE_URL", raising=False)
    given = {} if url == "absent" else {"saga_database_url": url}
    with pytest.raises(ConfigurationError, match="saga_database_url is not set") as raised:
        Settings.read(given)
    assert 'saga_database_url = "postgresql+psycopg://' in str(raised.value)


def test_the_environment_names_the_database_where_the_configuration_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SAGAS_DATABASE_URL", "sqlite:///here.db")
    assert Settings.read({"saga_database_url": None}).saga_database_url == "sqlite:///here.db"
    assert read().saga_database_url == URL


def test_the_error_for_unknown_settings_lists_the_known_ones() -> None:
    with pytest.raises(ConfigurationError) as raised:
        read(saga_leese_s=3, saga_sweep=1)
    assert "Unknown setting saga_leese_s, saga_sweep." in str(raised.value)
    assert "saga_lease_s" in str(raised.value)
    assert "saga_sweep_interval_s" in str(raised.value)


def test_settings_of_other_packages_are_ignored() -> None:
    assert read(broker_url="redis://", task_default_queue="q") == read()


@pytest.mark.parametrize("name", ["saga_lease_s", "saga_sweep_interval_s"])
@pytest.mark.parametrize("value", [0, -1, -0.5, "3", None, math.nan], ids=str)
def test_a_duration_must_be_a_positive_number_of_seconds(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} = .*: give seconds above 0"):
        read(**{name: value})


def test_a_worker_may_miss_a_heartbeat_without_losing_its_lease() -> None:
    settings = read(saga_lease_s=6.0)
    assert settings.heartbeat_s == 2.0


def test_the_decisions_use_the_durations_that_are_set() -> None:
    timing = read(saga_lease_s=6.0, saga_sweep_interval_s=0.5).timing
    assert (timing.lease_s, timing.timer_s) == (6.0, 1.0)


@pytest.mark.parametrize(
    "unsafe",
    [{"accept_content": ["json", "pickle"]}, {"task_serializer": "yaml"}],
    ids=["accepted", "sent"],
)
def test_serializers_that_run_code_are_refused(unsafe: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r'Set accept_content = \["json"\]'):
        read(**unsafe)


@pytest.mark.parametrize("limit", [0, -1, 1.5, "1M", None], ids=str)
def test_the_payload_limit_must_be_a_positive_number_of_bytes(limit: Any) -> None:
    with pytest.raises(ConfigurationError, match="give bytes above 0"):
        read(saga_payload_limit_bytes=limit)


@pytest.mark.parametrize("urls", ["https://a/b", ["ftp://a/b"], ["https://"], [7]], ids=str)
def test_alerts_go_only_to_web_addresses(urls: Any) -> None:
    with pytest.raises(ConfigurationError, match="saga_alert_urls is a list of http"):
        read(saga_alert_urls=urls)
