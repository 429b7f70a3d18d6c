"""``sagas list`` on narrow terminals, on those that know only ASCII, and ids in short."""

import os
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from uuid import UUID

import pytest

from sagas.record.store import Store
from tests.support.command_line import APP, Run, error_of, json_of, on_terminal, output_of
from tests.support.records import claims, parked, started, turned_back

#: Keys as real applications have them, up to the longest.
KEYS = ["ORD-2026-000017", "a7f3c1de-5b0e-4a35-9d0e-3c1f7f1f2b11", "k" * 200, "Bestellung Müller 7"]


def sagas(store: Store) -> list[UUID]:
    one = started(store, KEYS[0])
    claims(store, one, "flight")
    return [one, parked(store, KEYS[1]), turned_back(store, KEYS[2]), started(store, KEYS[3])]


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_a_list_fits_and_cuts_nothing(run_saga: Run, store: Store, width: int) -> None:
    ids = sagas(store)
    shown = on_terminal(run_saga, width, "list")
    lines = shown.splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) < 30  # the key of 200 characters wraps
    together = "".join(shown.split())
    for status in ("IN_PROGRESS", "FAILED", "COMPENSATED", "STARTED"):
        assert status in shown
    for word in ("hotel: SOLD_OUT: sold out", "is not undone: flight."):
        assert word.replace(" ", "") in together
    for key in (KEYS[0], KEYS[3]):
        assert key.replace(" ", "") in together or key in shown
    assert together.count("k") >= 200
    beginnings = [line.split(" ")[0] for line in lines if not line.startswith(" ")]
    for saga_id in ids:
        (prefix,) = (word for word in beginnings if str(saga_id).startswith(word))
        (found,) = json_of(run_saga("show", prefix, "--json"))
        assert found["saga"]["id"] == str(saga_id)


def test_a_list_shows_the_step_where_each_saga_is_and_its_age(run_saga: Run, store: Store) -> None:
    sagas(store)
    head, *rows = on_terminal(run_saga, 120, "list").splitlines()
    assert head.split() == ["id", "key", "status", "step", "age"]
    found = {saga["key"]: saga for saga in json_of(run_saga("list", "--json"))}
    assert {key: saga["step"] for key, saga in found.items()} == dict(
        zip(KEYS, ["flight", "flight", "hotel", "flight"], strict=True)
    )
    assert any(KEYS[0] in row and "flight" in row and row.rstrip().endswith("s") for row in rows)


def test_a_list_of_several_names_shows_them(run_saga: Run, store: Store) -> None:
    started(store)
    assert "trip" not in on_terminal(run_saga, 80, "list")
    output_of(run_saga("start", "shop.order", "-", "--key", "ORD-1", input="{}"))
    shown = on_terminal(run_saga, 80, "list")
    assert "trip" in shown
    assert "shop.order" in shown


def test_the_beginning_of_an_id_is_enough_as_long_as_it_names_one_saga(
    run_saga: Run, store: Store
) -> None:
    one, other = started(store, "A"), started(store, "B")
    same = takewhile(lambda pair: pair[0] == pair[1], zip(str(one), str(other), strict=True))
    shared = "".join(one for one, _ in same)
    longer = str(one)[: len(shared) + 1]
    for word in (longer, longer.replace("-", ""), longer.upper()):
        (found,) = json_of(run_saga("show", word, "--json"))
        assert found["saga"]["id"] == str(one)
    message = error_of(run_saga("show", shared))
    assert f"Several sagas have an id that begins with '{shared}'" in message
    assert str(one) in message
    assert str(other) in message
    assert "Give more of the id." in message
    assert "COMPENSATED" in output_of(run_saga("cancel", longer, "--reason", "…"))
    refused = run_saga("cancel", shared, "--reason", "…")
    assert refused.exit_code == 1
    assert "Several sagas" in refused.stderr


def test_a_key_that_looks_like_the_beginning_of_an_id_is_a_key(run_saga: Run, store: Store) -> None:
    saga_id = started(store, "A")
    keyed = started(store, str(saga_id)[:4])
    (found,) = json_of(run_saga("show", str(saga_id)[:4], "--json"))
    assert found["saga"]["id"] == str(keyed)


@pytest.mark.parametrize("words", [["list"], ["show", KEYS[0]], ["doctor"]])
@pytest.mark.parametrize(
    "settings",
    [{"PYTHONIOENCODING": "ascii"}, {"LANG": "C", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}],
    ids=["ascii", "C"],
)
def test_a_terminal_that_knows_only_ascii_shows_everything(
    store: Store, database_url: str, words: list[str], settings: dict[str, str]
) -> None:
    for saga_id in sagas(store):
        claims(store, saga_id, "flight")
    shown = subprocess.run(
        [sys.executable, "-m", "celery", "-A", APP, "saga", *words],
        env={
            "CLI_DATABASE_URL": database_url,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path.cwd()),
            "PYTHONUTF8": "0",
            **settings,
        },
        check=False,
        capture_output=True,
    )
    assert b"Traceback" not in shown.stderr
    assert shown.returncode in (0, 1), shown.stderr
    assert shown.stdout
    if "PYTHONIOENCODING" in settings:
        assert shown.stdout.isascii()
    if words == ["list"]:
        assert b"ORD-2026-000017" in shown.stdout
        assert b"Bestellung M" in shown.stdout
