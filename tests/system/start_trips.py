"""An application process: ``python -m tests.system.start_trips SAGA KEY INPUT-AS-JSON …``."""

import sys

from sagas.client.saga import saga_named
from tests.system import trip

if __name__ == "__main__":
    assert trip.app
    name, *words = sys.argv[1:]
    for key, text in zip(words[::2], words[1::2], strict=True):
        saga_named(name).start_json(text, key=key)
