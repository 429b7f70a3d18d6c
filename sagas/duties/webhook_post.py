"""Posts one JSON document, as a separate program, so that a slow receiver delays no worker.

It reads ``{"url": …, "body": …, "headers": …, "timeout_s": …}`` from stdin, because a URL may
contain a secret, and exits with 0 if the receiver accepts the document.
"""

import json
import sys
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen


def main() -> int:
    """Post the document; if that fails, write one line to stderr."""
    job = json.load(sys.stdin)
    headers = {**job["headers"], "Content-Type": "application/json"}
    request = Request(  # noqa: S310 - the settings take http and https only
        job["url"], json.dumps(job["body"]).encode(), headers=headers, method="POST"
    )
    try:
        with urlopen(request, timeout=job["timeout_s"]):  # noqa: S310 - the same
            return 0
    except HTTPError as error:
        sys.stderr.write(f"it answered {error.code}")
    except (URLError, OSError, ValueError) as error:
        sys.stderr.write(f"{type(error).__name__}: {getattr(error, 'reason', error)}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
