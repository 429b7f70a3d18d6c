"""What the application of a soak and those who look at it must both know."""

import asyncio

__all__ = ["ENDS", "PARCELS"]

#: The queue of a step that not every worker serves.
PARCELS = "parcels"

#: What ends an attempt and is no Exception: a library calls ``sys.exit()``, a coroutine leaks.
ENDS = (SystemExit, asyncio.CancelledError, GeneratorExit)
