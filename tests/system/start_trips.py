"""An application process: ``python -m tests.system.start_trips KEY INPUT-AS-JSON …``."""

import sys

from tests.system.trip import book_trip

if __name__ == "__main__":
    words = sys.argv[1:]
    for key, text in zip(words[::2], words[1::2], strict=True):
        book_trip.start_json(text, key=key)
