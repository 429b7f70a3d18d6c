"""The deployment files: what an edit must not lose."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def compose() -> Any:
    return YAML(typ="safe").load(ROOT / "docker-compose.yml")


@pytest.fixture(scope="module")
def services(compose: Any) -> Any:
    return compose["services"]


def test_only_flower_is_reachable_and_from_this_machine_only(services: Any) -> None:
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert ports == {"flower": ["127.0.0.1:5555:5555"]}
    assert not any("network_mode" in service for service in services.values())


def test_no_password_has_a_default(services: Any) -> None:
    required = {
        "REDIS_PASSWORD": services["redis"]["command"],
        "POSTGRES_PASSWORD": services["postgres"]["environment"]["POSTGRES_PASSWORD"],
        "FLOWER_PASSWORD": services["flower"]["environment"]["FLOWER_BASIC_AUTH"],
    }
    for name, place in required.items():
        assert f"${{{name}:?" in str(place)
    text = (ROOT / "docker-compose.yml").read_text()
    assert all(f"${{{name}" not in text.replace(f"${{{name}:?", "") for name in required)


def test_the_broker_keeps_its_messages(services: Any) -> None:
    words = services["redis"]["command"]
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    assert services["redis"]["volumes"] == ["redis:/data"]


def test_there_can_be_many_workers(services: Any) -> None:
    assert not any("container_name" in service for service in services.values())
    assert not {"ports", "hostname"} & set(services["worker"])


def test_every_service_is_restarted_and_has_a_health_check(services: Any) -> None:
    for name in set(services) - {"migrate"}:
        assert services[name]["restart"] == "unless-stopped"
        assert services[name]["healthcheck"]["test"]
    assert services["worker"]["healthcheck"]["test"][1:] == ["sagas", "-A", "tasks", "ping"]
    assert services["worker"]["stop_grace_period"]


def test_nothing_starts_before_the_record_is_migrated(services: Any) -> None:
    for name in ("worker", "flower"):
        needs = services[name]["depends_on"]
        assert needs["migrate"]["condition"] == "service_completed_successfully"
    assert services["migrate"]["command"][-1].endswith("sagas -A tasks db upgrade")


def test_the_image_is_built_from_locked_requirements_and_does_not_run_as_root() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert any("PIP_REQUIRE_HASHES=1" in line for line in lines)
    assert lines[-1].startswith("CMD")
    users = [line for line in lines if line.startswith("USER")]
    assert users == ["USER sagas"]


def test_the_build_context_has_what_the_image_copies_and_nothing_else() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    copies = [
        line.split()[1:-1]
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY") and "--from" not in line
    ]
    assert {name for names in copies for name in names} == kept
    assert "*" in ignore
    assert all((ROOT / name).exists() for name in kept)
