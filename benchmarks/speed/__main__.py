"""``python -m benchmarks.speed``: the same saga by celery-sagas and by its peers, side by side."""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

from rich.console import Console

from benchmarks.speed.contenders import Contender
from benchmarks.speed.grid import grids
from benchmarks.speed.measure import count, measure
from benchmarks.speed.options import Options, parse
from benchmarks.speed.page import KEPT, write_page
from benchmarks.speed.parts import Unfinished
from benchmarks.speed.peers import NoPeer, interpreter
from benchmarks.speed.processes import Broken
from benchmarks.speed.result import Result, describe_machine
from benchmarks.speed.servers import NoServer, Servers, find_servers
from benchmarks.speed.table import WIDTH, table

console = Console(width=WIDTH, highlight=False)


def main() -> int:
    """Run every round, write the result after each, print it, and return the exit code."""
    # SIGTERM unwinds like Ctrl-C, so that no process is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    options = parse()
    try:
        servers = find_servers()
    except NoServer as error:
        console.print(str(error))
        return 1
    result = Result(options.variant.name, _effort(options), describe_machine(servers), {}, [])
    try:
        _make_environments(options, result)
        for number in range(options.rounds):
            result.rounds.append({})
            _round(options, number, servers, result)
            result.write(options.directory / f"{result.variant}.json")
    except KeyboardInterrupt:
        console.print("Interrupted; the rounds that were complete are written.")
        return 128 + signal.SIGINT
    except (Broken, Unfinished) as error:
        console.print(str(error), markup=False)
        return 1
    for grid in grids(result):
        console.print(table(grid), "")
    if options.directory == KEPT:
        write_page()
    return 0


def _effort(options: Options) -> dict[str, int]:
    effort = {name: int(value) for name, value in asdict(options.effort).items()}
    return {"rounds": options.rounds, **effort}


def _make_environments(options: Options, result: Result) -> None:
    for contender in options.contenders:
        if contender.peer:
            with (
                console.status(f"The environment of {contender.title}"),
                _skipping(contender, result),
            ):
                interpreter(contender.peer)


def _round(options: Options, number: int, servers: Servers, result: Result) -> None:
    for contender in _rotated(options.contenders, number):
        if contender.name in result.skipped:
            continue
        said = f"Round {number + 1} of {options.rounds}: {contender.title}"
        with console.status(said), _skipping(contender, result):
            figures = measure(contender, servers, options.effort, options.variant)
            if not number:  # what is counted and not timed is the same in every round
                figures |= count(contender, servers, options.effort, options.variant)
            result.rounds[number][contender.name] = figures
            console.print(f"{said}: {figures['sagas_s']:.0f} sagas/s")


@contextmanager
def _skipping(contender: Contender, result: Result) -> Iterator[None]:
    """Leave a peer out, by name and with the reason, if it cannot be had or does not work."""
    try:
        yield
    except (Broken, NoPeer, Unfinished) as error:
        if not contender.peer:
            raise
        result.skipped[contender.name] = str(error)
        console.print(f"{contender.title} is left out: {error}", markup=False)


def _rotated(contenders: Sequence[Contender], by: int) -> Sequence[Contender]:
    """Let each round begin with another, so that none always runs first."""
    start = by % len(contenders)
    return [*contenders[start:], *contenders[:start]]


if __name__ == "__main__":
    sys.exit(main())
