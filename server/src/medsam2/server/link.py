"""Messages between the API process and its worker, over a pipe: a JSON header and a body.

Both ends are our own processes, but nothing is pickled all the same.
"""

from __future__ import annotations

import json
import struct
from multiprocessing.connection import Connection
from typing import Any

Header = dict[str, Any]
_LENGTH = struct.Struct(">I")


def send(connection: Connection, header: Header, body: bytes = b"") -> None:
    """Sends one message; one thread at a time.

    Raises:
        OSError: the other process is gone.
    """
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    connection.send_bytes(b"".join((_LENGTH.pack(len(text)), text, body)))


def receive(connection: Connection) -> tuple[Header, bytes]:
    """Waits for one message.

    Raises:
        EOFError, OSError: the other process is gone.
    """
    data = connection.recv_bytes()
    (length,) = _LENGTH.unpack_from(data)
    end = _LENGTH.size + length
    return json.loads(data[_LENGTH.size : end]), data[end:]
