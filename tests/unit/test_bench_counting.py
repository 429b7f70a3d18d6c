import struct

import pytest

from benchmarks.speed.counting import PostgresReader, RedisReader

GREETING = struct.pack("!ii", 8, 196608)


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!i", 4 + len(body)) + body


STATEMENTS = (
    GREETING
    + message(b"p", b"secret")
    + message(b"Q", b"SELECT 'Q'\0")
    + message(b"P", b"E")
    + message(b"B")
    + message(b"E", b"\0\0\0\0\0")
    + message(b"S")
    + message(b"Q", b"COMMIT\0")
)

COMMANDS = (
    b"*2\r\n$3\r\nGET\r\n$4\r\n*1\r\n\r\n"  # of a key that looks like a command
    b"*1\r\n$4\r\nPING\r\n"
    b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$0\r\n\r\n"
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_statements_are_counted_however_they_are_cut_into_pieces(size: int) -> None:
    reader = PostgresReader()
    pieces = [STATEMENTS[start : start + size] for start in range(0, len(STATEMENTS), size)]
    assert sum(map(reader.feed, pieces)) == 3  # two queries and an execution


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_commands_are_counted_however_they_are_cut_into_pieces(size: int) -> None:
    reader = RedisReader()
    pieces = [COMMANDS[start : start + size] for start in range(0, len(COMMANDS), size)]
    assert sum(map(reader.feed, pieces)) == 3
