"""A shop that sells enough: ``python -m tests.soak.shop FIRST UNTIL RATE BEGAN CLOSING``.

Until the file *closing* is there it sells more, while little is under way: whatever is to be done
to a sale finds one. Each purchase is one transaction: a row of the shop's and its saga, or neither.
Whoever kills the shop loses at most the purchase that was not committed; the next shop goes on
behind the last one.
"""

import random
import sys
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from sqlalchemy import Connection, func, insert, select
from sqlalchemy.exc import DBAPIError

from sagas import Saga
from sagas.record import queries
from sagas.record.database import Database
from sagas.states import ENDED
from tests.soak import app as soak
from tests.soak.tables import CUSTOMERS, PLACES, PRODUCTS, purchase

__all__ = ["Sale", "key_of", "sell_until_sold"]

#: Every so many-th purchase is bought together with those that follow it.
BATCH = 10

#: What is bought, by which saga.
Sale = tuple[Saga[soak.Purchase], soak.Purchase]


def sell(record: Database, first: int, is_time_for: Callable[[int], bool]) -> None:
    """Sell one purchase after the other, as long as there is a time for the next ones."""
    for number in count(first, BATCH):
        if not is_time_for(number):
            return
        wanted = [(_saga_of(n), _drawn(n)) for n in range(number, number + BATCH)]
        together = random.random() < 0.2
        for group in [wanted] if together else [[one] for one in wanted]:
            sell_until_sold(record, group)


def sell_until_sold(record: Database, wanted: Sequence[Sale]) -> None:
    """Repeat it for as long as it takes: the keys make a repeat harmless."""
    while True:
        try:
            with record.engine.begin() as connection:
                _sell(connection, wanted)
        except DBAPIError as error:
            print(f"shop: {type(error.orig).__name__}; again", flush=True)
            time.sleep(0.5)
        else:
            return


def _sell(connection: Connection, wanted: Sequence[Sale]) -> None:
    known = purchase.c.number.in_([one.number for _, one in wanted])
    there = set(connection.scalars(select(purchase.c.number).where(known)))
    if new := [
        {"number": one.number, "saga": saga.name} for saga, one in wanted if one.number not in there
    ]:
        connection.execute(insert(purchase), new)
    for saga in (soak.tip, soak.short, soak.parcel, soak.order):
        mine = [(one, key_of(one.number)) for its, one in wanted if its is saga]
        saga.start_many(mine, session=connection)


def _many_are_under_way(record: Database) -> bool:
    try:
        counts = record.read(queries.count_by_status)
    except DBAPIError:
        return True
    return sum(counts.values()) - sum(counts.get(status, 0) for status in ENDED) > BATCH


def key_of(number: int) -> str:
    """Return the business key of a purchase."""
    return f"P-{number}"


def _saga_of(number: int) -> Saga[soak.Purchase]:
    if soak.second:  # the second release sells what only it can wrap
        return soak.order
    kinds = [soak.tip] * 4 + [soak.short] * 3 + [soak.parcel] + [soak.order] * 2
    return random.Random(f"saga {number}").choice(kinds)


def _drawn(number: int) -> soak.Purchase:
    """Draw what is bought; always the same for one number, so that a repeat has the same input."""
    chance = random.Random(number)
    # Those of every release: an input must not depend on who draws it.
    steps = [step.name for step in _saga_of(number).plan if step.name not in ("wrap", "thank")]
    drawn: dict[str, object] = {
        "number": number,
        "product": chance.randrange(PRODUCTS),
        "customer": chance.randrange(CUSTOMERS),
        "flaky": 0.6 if chance.random() < 0.08 else 0.0,
    }
    if chance.random() < 0.2:
        drawn["refuse"] = chance.choice(steps)
    if chance.random() < 0.01:
        drawn |= {"refuse": steps[-1], "broken_undo": steps[0]}
    if chance.random() < 0.01:
        drawn["slow"] = "charge"
    if chance.random() < 0.002:
        drawn["hang"] = "ship"
    if chance.random() < 0.02:
        drawn["exits"] = chance.choice(steps)
    return soak.Purchase.model_validate(drawn)


def main() -> None:
    """Go on behind the last purchase of this shop."""
    first, until = (int(word) for word in sys.argv[1:3])
    rate, began = (float(word) for word in sys.argv[3:5])
    closing = Path(sys.argv[5])
    record = Database(soak.app.conf.saga_database_url)
    number = purchase.c.number
    mine = select(func.max(number)).where(number.between(first, first + PLACES - 1))
    sold = record.read(lambda c: c.scalar(mine))

    def is_time_for(number: int) -> bool:
        """Wait until it is, and catch up after an outage."""
        enough, due_at = number >= until, began + (number - first) / rate
        while not (enough and closing.exists()):
            left_s = due_at - time.time()
            if left_s <= 0 and not (enough and _many_are_under_way(record)):
                return True
            time.sleep(min(max(left_s, 0.1), 0.5))
        return False

    sell(record, first if sold is None else sold + 1, is_time_for)


if __name__ == "__main__":
    main()
