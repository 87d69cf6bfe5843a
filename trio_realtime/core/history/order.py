"""The order of the items, in chunks.

Finding the neighbors of an item, placing and removing one, and making a snapshot cost the same in the first
minute and in the last: each looks at one chunk, or at the chunks that have changed.
"""

from __future__ import annotations

from typing import Final

from .nodes import Chunk, Node
from .snapshots import HistorySnapshot, Items

CHUNK_SIZE: Final = 64
"""The number of items in a chunk. After insertions in its middle, a chunk may have up to twice as many."""


class ItemOrder:
    """The items of a conversation, in order."""

    def __init__(self) -> None:
        self._chunks = [Chunk(0)]  # only the first one may be empty, if it is the only one
        self._size = 0
        self._changed: dict[Chunk, None] = {}  # since the last snapshot
        self._is_rearranged = False
        # Of all chunks but the last, in the last snapshot.
        self._snapshots: list[Items] = []
        self._snapshot = HistorySnapshot()

    # --- neighbors

    @property
    def last(self) -> Node | None:
        """The last item."""
        nodes = self._chunks[-1].nodes
        return nodes[-1] if nodes else None

    def previous(self, node: Node) -> Node | None:
        """Return the item before this one."""
        chunk = node.chunk
        position = chunk.position(node)
        if position:
            return chunk.nodes[position - 1]
        return self._chunks[chunk.number - 1].nodes[-1] if chunk.number else None

    def following(self, node: Node | None) -> Node | None:
        """Return the item after this one; the first item for ``None``."""
        chunk = self._chunks[0] if node is None else node.chunk
        position = 0 if node is None else chunk.position(node) + 1
        if position < len(chunk.nodes):
            return chunk.nodes[position]
        is_last = chunk.number + 1 == len(self._chunks)
        return None if is_last else self._chunks[chunk.number + 1].nodes[0]

    # --- changes

    def insert(self, node: Node, previous: Node | None) -> None:
        """Place a new item after another one; before all others for ``None``."""
        chunk = self._chunks[0] if previous is None else previous.chunk
        position = 0 if previous is None else chunk.position(previous) + 1
        if position >= CHUNK_SIZE and previous is self.last:
            chunk, position = Chunk(len(self._chunks)), 0
            self._chunks.append(chunk)
        chunk.nodes.insert(position, node)
        chunk.items.insert(position, node.item)
        node.chunk = chunk
        self._size += 1
        self.note_changed(node)
        if len(chunk.nodes) > 2 * CHUNK_SIZE:
            self._split(chunk)

    def remove(self, node: Node) -> None:
        """Remove an item."""
        chunk = node.chunk
        position = chunk.position(node)
        del chunk.nodes[position], chunk.items[position]
        chunk.changed.pop(node, None)
        self._size -= 1
        self._changed[chunk] = None
        if not chunk.nodes and len(self._chunks) > 1:
            del self._chunks[chunk.number], self._changed[chunk]
            self._renumber(chunk.number)

    def note_changed(self, node: Node) -> None:
        """Note that an item has changed."""
        node.chunk.changed[node] = None
        self._changed[node.chunk] = None

    def _split(self, chunk: Chunk) -> None:
        later = Chunk(chunk.number + 1)
        later.nodes, chunk.nodes = chunk.nodes[CHUNK_SIZE:], chunk.nodes[:CHUNK_SIZE]
        later.items, chunk.items = chunk.items[CHUNK_SIZE:], chunk.items[:CHUNK_SIZE]
        for node in later.nodes:
            node.chunk = later
            if node in chunk.changed:
                later.changed[node] = chunk.changed.pop(node)
        self._changed[later] = None
        self._chunks.insert(later.number, later)
        self._renumber(later.number)

    def _renumber(self, begin: int) -> None:
        for number in range(begin, len(self._chunks)):
            self._chunks[number].number = number
        self._is_rearranged = True

    # --- snapshots

    def snapshot(self) -> HistorySnapshot:
        """Return the items as they are now. Returns the same object until something changes."""
        if self._changed or self._is_rearranged:
            for chunk in self._changed:
                chunk.update()
            self._update_snapshots()
            last = self._chunks[-1].snapshot
            others = self._size - len(last)
            self._snapshot = HistorySnapshot.of_chunks(self._snapshots, others, last)
            self._changed.clear()
        return self._snapshot

    def _update_snapshots(self) -> None:
        known = len(self._snapshots)
        if self._is_rearranged:
            self._snapshots = [chunk.snapshot for chunk in self._chunks[:-1]]
            self._is_rearranged = False
            return
        replaced = [chunk for chunk in self._changed if chunk.number < known]
        if replaced:
            self._snapshots = self._snapshots.copy()  # earlier snapshots have the old list
            for chunk in replaced:
                self._snapshots[chunk.number] = chunk.snapshot
        for number in range(known, len(self._chunks) - 1):
            self._snapshots.append(self._chunks[number].snapshot)
