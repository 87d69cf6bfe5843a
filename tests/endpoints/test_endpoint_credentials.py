"""Keys that functions return, and the errors of these functions."""

from __future__ import annotations

import traceback

import pytest
import trio

from trio_realtime.endpoints import Endpoint, Key
from trio_realtime.errors import ConnectFailed, NetworkError

KEY = "sk-test-0123456789"


def read_vault() -> str:
    raise OSError(f"the vault with {KEY} is closed")


def sync_function() -> str:
    return read_vault()


async def async_function() -> str:
    await trio.lowlevel.checkpoint()
    try:
        return read_vault()
    except OSError as exc:
        raise LookupError(f"no key, the last one was {KEY}") from exc


class CallableObject:
    """A key function that is an object."""

    def __call__(self) -> str:
        return read_vault()


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (sync_function, "OSError"),
        (async_function, "LookupError"),
        (CallableObject(), "OSError"),
        (lambda: read_vault(), "OSError"),  # noqa: PLW0108  # a function without a name
    ],
)
async def test_a_key_function_that_raises_is_a_network_error(function: Key, name: str) -> None:
    endpoint = Endpoint.openai(function)
    with pytest.raises(ConnectFailed, match=f"raised {name}") as caught:
        await endpoint.resolve()
    assert isinstance(caught.value, NetworkError)


async def test_the_error_names_the_line_of_the_function_and_the_line_that_raised() -> None:
    lines = [function.__code__.co_firstlineno + 1 for function in (sync_function, read_vault)]
    with pytest.raises(ConnectFailed) as caught:
        await Endpoint.openai(sync_function).resolve()
    assert (
        f"raised OSError (test_endpoint_credentials.py, line {lines[0]}, in sync_function; "
        f"test_endpoint_credentials.py, line {lines[1]}, in read_vault)"
    ) in str(caught.value)


async def test_a_key_function_with_the_wrong_signature_is_a_network_error() -> None:
    function = lambda tenant: KEY  # noqa: E731
    with pytest.raises(ConnectFailed, match=r"raised TypeError \(in the call\)"):
        await Endpoint.openai(function).resolve()  # type: ignore[arg-type]


@pytest.mark.parametrize("function", [sync_function, async_function])
async def test_the_exception_of_a_key_function_is_not_reachable(function: Key) -> None:
    with pytest.raises(ConnectFailed) as caught:
        await Endpoint.openai(function).resolve()
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert KEY not in "".join(traceback.format_exception(caught.value))


async def test_a_key_function_may_be_cancelled() -> None:
    async def hanging() -> str:
        await trio.sleep_forever()
        raise AssertionError

    with trio.move_on_after(0) as scope:
        await Endpoint.openai(hanging).resolve()
    assert scope.cancelled_caught
