"""The order of items, and snapshots of them, compared with a list."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from itertools import count, pairwise
from random import Random

import pytest
from hypothesis import given, settings, strategies as st

from trio_realtime.core.history.nodes import Node
from trio_realtime.core.history.order import CHUNK_SIZE, ItemOrder
from trio_realtime.core.history.snapshots import HistorySnapshot
from trio_realtime.items import HistoryItem
from trio_realtime.wire import InputText, MessageItem


def message(number: int, text: str = "") -> MessageItem:
    content = (InputText(text=text),) if text else ()
    return MessageItem(id=f"item_{number}", role="user", content=content)


class Model:
    """An order and a list, which are changed alike."""

    def __init__(self, random: Random) -> None:
        self.order = ItemOrder()
        self.nodes: list[Node] = []
        self._random = random
        self._numbers = count()

    def append(self) -> None:
        self.insert_at(len(self.nodes))

    def insert_at(self, place: int) -> None:
        node = Node(message(next(self._numbers)))
        self.order.insert(node, self.nodes[place - 1] if place else None)
        self.nodes.insert(place, node)

    def remove_at(self, place: int) -> None:
        self.order.remove(self.nodes.pop(place))

    def change(self, node: Node) -> None:
        node.item = message(next(self._numbers), "changed")
        self.order.note_changed(node)

    def do_something(self) -> None:
        random, size = self._random, len(self.nodes)
        places = (0, size // 2, random.randrange(size) if size else 0)
        match random.randrange(8):
            case 0:
                for _ in range(CHUNK_SIZE):
                    self.append()
            case 1:
                for _ in range(CHUNK_SIZE):
                    self.insert_at(places[1])
            case 2:
                for _ in range(min(CHUNK_SIZE, size)):
                    self.remove_at(random.choice((0, -1)))
            case 3 | 4:
                self.insert_at(random.choice(places))
            case 5 if size:
                self.remove_at(random.choice(places[1:]))
            case _ if size:
                self.change(self.nodes[random.choice((-1, *places[1:]))])
            case _:
                self.append()

    def items(self) -> list[HistoryItem]:
        return [node.item for node in self.nodes]

    def check_neighbors(self) -> None:
        nodes = [None, *self.nodes, None]
        for before, after in pairwise(nodes):
            if before is not None or after is not None:
                assert self.order.following(before) is after
            if after is not None:
                assert self.order.previous(after) is before
        assert self.order.last is nodes[-2]


@given(st.randoms(use_true_random=False))
@settings(deadline=None)
def test_any_changes_give_the_order_of_a_list_and_leave_earlier_snapshots_alone(
    random: Random,
) -> None:
    model = Model(random)
    earlier: list[tuple[HistorySnapshot, list[HistoryItem]]] = []
    for _ in range(30):
        model.do_something()
        if random.randrange(2):
            snapshot = model.order.snapshot()
            assert list(snapshot) == model.items()
            assert model.order.snapshot() is snapshot
            earlier.append((snapshot, model.items()))
    model.check_neighbors()
    for snapshot, items in earlier:
        assert list(snapshot) == items
        check_sequence(snapshot, items)


def check_sequence(snapshot: Sequence[HistoryItem], items: list[HistoryItem]) -> None:
    assert len(snapshot) == len(items)
    assert [*reversed(snapshot)] == items[::-1]
    for index in (0, -1, len(items) // 2, -len(items)):
        if items:
            assert snapshot[index] is items[index]
    for begin, end, step in ((-2, None, None), (0, 3, 1), (None, None, -1), (1, -1, 7)):
        assert snapshot[begin:end:step] == tuple(items[begin:end:step])
    for index in (len(items), -len(items) - 1):
        with pytest.raises(IndexError):
            snapshot[index]


def test_a_snapshot_is_equal_to_a_tuple_of_its_items() -> None:
    model = Model(Random(1))
    for _ in range(3 * CHUNK_SIZE):
        model.append()
    snapshot, items = model.order.snapshot(), tuple(model.items())
    assert snapshot == items
    assert items == snapshot
    assert snapshot == HistorySnapshot(items)
    assert hash(snapshot) == hash(HistorySnapshot(items)) == hash(items)
    assert snapshot != items[1:]
    assert snapshot != list(items)
    assert HistorySnapshot(items[:1]) != "item"
    assert repr(HistorySnapshot(items[:1])) == f"HistorySnapshot([{items[0]!r}])"


def test_a_copy_of_a_snapshot_has_none_of_the_later_items() -> None:
    model = Model(Random(1))
    for _ in range(CHUNK_SIZE + 1):
        model.append()
    snapshot = model.order.snapshot()
    size = len(pickle.dumps(snapshot))
    for _ in range(CHUNK_SIZE):
        model.append()
    model.order.snapshot()
    assert len(pickle.dumps(snapshot)) == size
    assert pickle.loads(pickle.dumps(snapshot)) == snapshot == copy.deepcopy(snapshot)


def test_snapshots_share_the_chunks_that_have_not_changed() -> None:
    model = Model(Random(1))
    for _ in range(10 * CHUNK_SIZE):
        model.append()
    before = model.order.snapshot()
    model.change(model.nodes[-1])
    model.append()
    after = model.order.snapshot()
    assert after._chunks is before._chunks
    model.change(model.nodes[0])
    changed = model.order.snapshot()
    shared = [a is b for a, b in zip(after._chunks, changed._chunks, strict=True)]
    assert shared == [False, *[True] * 9]
