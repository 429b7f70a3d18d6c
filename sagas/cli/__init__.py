"""The command line: ``sagas -A app …`` and the same as ``celery -A app saga …``.

Exit codes: 0 done, 1 what was asked for could not be done (the reason is on stderr), 2 wrong usage.
"""

from sagas.cli import check, operate, overview  # noqa: F401 - their commands belong to the group
from sagas.cli.commands import saga
from sagas.cli.dev import dev
from sagas.cli.doctor import doctor
from sagas.cli.main import main
from sagas.cli.ping import ping

__all__ = ["main", "saga"]

saga.add_command(dev)
saga.add_command(doctor)
saga.add_command(ping)
