"""Whether client events may be sent, and on which connection.

A session may outlive several connections. Between two of them nothing can be sent: what the user does
meanwhile changes the conversation, and the next connection is given it.
"""

from __future__ import annotations


class Link:
    """The connection that the conversation uses now.

    Attributes:
        number: the number of the connection, beginning with 1. Items, responses and requests that were
            sent belong to one connection.
        is_open: whether client events may be sent.
        lost_at: when the previous connection ended, in seconds.
    """

    def __init__(self) -> None:
        self.number: int = 1
        self.is_open: bool = True
        self.lost_at: float = 0.0

    def close(self, now: float) -> None:
        """Note that the connection is gone. What is decided from now on belongs to the next one."""
        if self.is_open:
            self.lost_at = now
        self.number += 1
        self.is_open = False

    def open(self) -> None:
        """Note that the next connection knows the conversation."""
        self.is_open = True
