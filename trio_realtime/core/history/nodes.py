"""Items of the history with what has arrived of them, and the chunks that they are in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from trio_realtime.items import HistoryItem
from trio_realtime.wire import InputAudio, MessageItem, OutputAudio, OutputText

from .growing_text import GrowingText
from .merging import grown
from .snapshots import Items


class Node:
    """An item, and what has arrived of it.

    Attributes:
        item: the item, without open deltas.
        chunk: the chunk that it is in.
        deltas: the open deltas of each part; those of a call's arguments are under 0.
        transcripts: the growing transcript of each part of the user's audio.
        kinds: the kind of each part that deltas have opened.
        finished_transcripts: the parts whose final transcript has arrived.
        heard: the fraction of each part that was heard, where an interruption cut it.
        connection: the number of the connection on which the item was created.
        reported: the number of the connection that has reported the item.
        is_replayed: the item was sent to that connection, which reports less of it than is known.
    """

    __slots__ = (
        "chunk",
        "connection",
        "deltas",
        "finished_transcripts",
        "heard",
        "is_replayed",
        "item",
        "kinds",
        "reported",
        "transcripts",
    )

    chunk: Chunk

    def __init__(self, item: HistoryItem, connection: int = 0) -> None:
        self.item: HistoryItem = item
        self.connection: int = connection
        self.reported: int = connection
        self.is_replayed: bool = False
        self.heard: dict[int, float] = {}
        self.deltas: dict[int, GrowingText] = {}
        self.kinds: dict[int, type[OutputText | OutputAudio]] = {}
        self.transcripts: dict[int, GrowingText] = {}
        self.finished_transcripts: set[int] = set()

    @property
    def is_growing(self) -> bool:
        """Whether anything has arrived of it that its item does not have."""
        return bool(self.deltas or self.transcripts)


def current(node: Node) -> HistoryItem:
    """Return the item with everything that has arrived of it."""
    item = node.item
    if not node.is_growing:
        return item
    deltas = {index: growing.text for index, growing in node.deltas.items()}
    transcripts = {index: growing.text for index, growing in node.transcripts.items()}
    return grown(item, deltas, node.kinds, transcripts)


class Chunk:
    """Some items next to each other.

    Attributes:
        number: the position among the chunks.
        nodes: the items, with what has arrived of them.
        changed: those that have changed since the last snapshot.
        items: all of them; those that have changed as they were.
        snapshot: the items in the last snapshot.
    """

    __slots__ = ("changed", "items", "nodes", "number", "snapshot")

    def __init__(self, number: int) -> None:
        self.number: int = number
        self.nodes: list[Node] = []
        self.changed: dict[Node, None] = {}
        self.items: list[HistoryItem] = []
        self.snapshot: Items = ()

    def position(self, node: Node) -> int:
        """Return the place of an item."""
        # What is asked for is nearly always the last one.
        nodes = self.nodes
        return len(nodes) - 1 if nodes[-1] is node else nodes.index(node)

    def update(self) -> None:
        """Update the snapshot."""
        for node in self.changed:
            self.items[self.position(node)] = current(node)
        self.changed.clear()
        self.snapshot = tuple(self.items)


def texts_until_now(growing: Mapping[int, GrowingText]) -> dict[int, Callable[[], str]]:
    """Return functions that return the texts as they are now, and share them until then."""
    return {index: partial(text.text, text.length) for index, text in growing.items()}


def has_user_audio(node: Node, index: int) -> bool:
    """Return whether a part is audio of the user."""
    item = node.item
    return (
        isinstance(item, MessageItem)
        and 0 <= index < len(item.content)
        and isinstance(item.content[index], InputAudio)
    )


def audio_part(node: Node, index: int) -> OutputAudio | InputAudio | None:
    """Return the audio part at this index, without open deltas.

    The service may refer to a part of the assistant's message before the part exists.
    """
    item = node.item
    if not isinstance(item, MessageItem) or index < 0:
        return None
    if index < len(item.content):
        part = item.content[index]
        return part if isinstance(part, OutputAudio | InputAudio) else None
    is_next = all(number in node.kinds for number in range(len(item.content), index))
    if item.role != "assistant" or not is_next or node.kinds.get(index) is OutputText:
        return None
    return OutputAudio()


class PendingTranscript:
    """The transcript of one part that the history does not have yet.

    Attributes:
        growing: what has arrived of it.
        final: all of it, once that has arrived.
    """

    __slots__ = ("final", "growing")

    def __init__(self) -> None:
        self.growing: GrowingText = GrowingText()
        self.final: str | None = None

    def take(self, text: str, *, final: bool) -> None:
        """Add to the transcript, or set all of it."""
        if final:
            self.growing, self.final = GrowingText(), text
        elif self.final is None:
            self.growing.append(text)
