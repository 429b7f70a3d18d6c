"""The example project, with a real worker."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.waiting import HANG_S
from tests.support.workers import running_worker

pytest.importorskip("django", reason="Django is not installed")

PROJECT = Path(__file__).parents[2] / "examples" / "django"

#: Places one order after the other, as a browser does, and tells how each ends.
PLACE = """
import json
import django
django.setup()
from django.test import Client
from orders.models import Book
from orders.tasks import order_saga
Book.objects.create(title="Emma", copies=3)
for copies, card in [(2, "valid"), (1, "stolen"), (2, "valid")]:
    wanted = {"title": "Emma", "copies": copies, "card": card}
    number = Client().post("/orders/", wanted, content_type="application/json").json()["order"]
    ended = order_saga.get(key=f"order-{number}").wait(600)
    shown = Client().get(f"/orders/{number}/").json()
    print(ended, shown["status"], Book.objects.get().copies)
"""


@dataclass(frozen=True)
class Project:
    env: dict[str, str]

    def run(self, *command: str) -> str:
        """Run a program in the project; return what it prints."""
        done = subprocess.run(
            [sys.executable, "-W", "error::UserWarning", *command],
            cwd=PROJECT,
            env={**os.environ, **self.env},
            check=False,
            capture_output=True,
            text=True,
            timeout=HANG_S,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def project(redis_url: str, tmp_path: Path) -> Project:
    """Return the project with an empty database, and a worker."""
    env = {
        "BOOKSHOP_DIR": str(tmp_path),
        "CELERY_BROKER_URL": redis_url,
        "DJANGO_SETTINGS_MODULE": "bookshop.settings",
        "PYTHONPATH": str(PROJECT),
    }
    made = Project(env)
    made.run("manage.py", "migrate", "-v", "0")
    return made


def test_an_order_is_paid_or_its_copies_are_back_on_the_shelf(
    project: Project, tmp_path: Path
) -> None:
    with running_worker("bookshop", "-c", "1", log=tmp_path / "w", env=project.env, cwd=PROJECT):
        said = project.run("-c", PLACE)
    paid, refused = "COMPLETED paid 1", "COMPENSATED refused 1"
    assert said.splitlines() == [paid, refused, refused]
    listed = json.loads(project.run("manage.py", "saga", "list", "--json"))
    assert [saga["key"] for saga in listed] == ["order-3", "order-2", "order-1"]


def test_the_project_is_in_order_and_passes_its_own_tests(project: Project) -> None:
    project.run("manage.py", "test", "--noinput")
    project.run("manage.py", "makemigrations", "--check", "--dry-run")
