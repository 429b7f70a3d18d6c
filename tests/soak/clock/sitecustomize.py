"""Python imports this first where it is on its path: the clock of such a process is fast."""

import os
import time

_ahead_s = float(os.environ["SOAK_CLOCK_AHEAD_S"])
_true_time = time.time


def _fast_time() -> float:
    return _true_time() + _ahead_s


time.time = _fast_time
