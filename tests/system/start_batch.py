"""An application process: ``python -m tests.system.start_batch SAGA FIRST COUNT INPUT``."""

import sys

from sagas.client.saga import saga_named
from tests.system import trip

if __name__ == "__main__":
    assert trip.app
    name, first, count, text = sys.argv[1:]
    numbers = range(int(first), int(first) + int(count))
    given = trip.Trip.model_validate_json(text)
    saga_named(name).start_many([(given, f"{name}-{n}") for n in numbers])
