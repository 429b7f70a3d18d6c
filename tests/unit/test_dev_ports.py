"""The port that ``sagas dev`` gives to Flower."""

from contextlib import ExitStack

from sagas.cli.dev import _flower_port


def test_two_commands_that_start_at_once_have_different_ports() -> None:
    with ExitStack() as one, ExitStack() as other:  # nothing listens yet on either
        assert _flower_port(one) != _flower_port(other)


def test_a_command_that_has_ended_leaves_its_port() -> None:
    with ExitStack() as one:
        port = _flower_port(one)
    with ExitStack() as other:
        assert _flower_port(other) == port
