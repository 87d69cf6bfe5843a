"""Credentials in texts of a server or a proxy are masked, in every form in which they are sent."""

from __future__ import annotations

from base64 import b64encode

import pytest

from trio_realtime.transports import ConnectOptions
from trio_realtime.transports._credentials import mask_secrets

SECRET = "sk-proj-do-not-show-0123456789"
PASSWORD = "p%40ss-w0rd-2026"


def basic(pair: str) -> str:
    return b64encode(pair.encode()).decode()


@pytest.mark.parametrize(
    ("options", "quoted"),
    [
        (ConnectOptions("ws://h", (("Authorization", f"Bearer {SECRET}"),)), SECRET),
        (ConnectOptions("ws://h", (("api-key", SECRET),)), SECRET),
        (ConnectOptions(f"ws://h/?api-key={SECRET}"), SECRET),
        (ConnectOptions("ws://h/?api-key=a%2Fkey%2Fof%2Fmine"), "a/key/of/mine"),
        (ConnectOptions("ws://h", subprotocols=(f"openai-insecure-api-key.{SECRET}",)), SECRET),
        (ConnectOptions(f"ws://me:{PASSWORD}@h"), PASSWORD),
        (ConnectOptions(f"ws://me:{PASSWORD}@h"), "p@ss-w0rd-2026"),
        (ConnectOptions(f"ws://me:{PASSWORD}@h"), basic("me:p@ss-w0rd-2026")),
        (ConnectOptions("wss://h", proxy=f"http://me:{PASSWORD}@p"), PASSWORD),
        (ConnectOptions("wss://h", proxy=f"http://me:{PASSWORD}@p"), "p@ss-w0rd-2026"),
        (ConnectOptions("wss://h", proxy=f"http://me:{PASSWORD}@p"), basic("me:p@ss-w0rd-2026")),
        (ConnectOptions("wss://h", proxy="http://me:x1y2@p"), "x1y2"),
    ],
)
def test_each_kind_of_credentials_is_masked(options: ConnectOptions, quoted: str) -> None:
    assert mask_secrets(f"what is {quoted}? {quoted}!", options) == "what is ***? ***!"


def test_a_short_password_is_masked_only_where_it_is_a_word() -> None:
    options = ConnectOptions("wss://h", proxy="http://me:pass@p")
    assert mask_secrets("a password, not pass", options) == "a password, not ***"


def test_values_that_are_too_short_for_a_key_are_not_masked() -> None:
    options = ConnectOptions("ws://h/?a=local", (("X-Env", "test"),), subprotocols=("rt",))
    assert mask_secrets("a local test of rt", options) == "a local test of rt"


def test_the_beginning_of_a_secret_at_the_end_of_a_text_is_masked() -> None:
    options = ConnectOptions("ws://h", (("Authorization", f"Bearer {SECRET}"),))
    for length in range(8, len(SECRET)):
        assert mask_secrets(f"wrong key {SECRET[:length]}", options) == "wrong key ***"
    assert mask_secrets(f"wrong key {SECRET[:12]}, sorry", options) == (
        f"wrong key {SECRET[:12]}, sorry"
    )
