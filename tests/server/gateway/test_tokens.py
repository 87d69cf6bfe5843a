"""Tokens admit one client, to one session, once, for a short time."""

from __future__ import annotations

from itertools import count

import pytest

from trio_realtime.server.gateway.tokens import Grant, TokenIssuer, TokenRefused

OWNER = Grant(session_id="sess_1", tenant="acme", role="owner")
OTHER = Grant(session_id="sess_2", tenant="acme", role="observer")


def refusal(issuer: TokenIssuer, token: str, session_id: str = "sess_1", now: float = 0.0) -> str:
    with pytest.raises(TokenRefused, match="the token is not valid") as caught:
        issuer.redeem(token, session_id, now)
    return caught.value.reason


def test_a_token_is_redeemed_once() -> None:
    issuer = TokenIssuer()
    token = issuer.issue(OWNER, 0.0)
    assert issuer.redeem(token, "sess_1", 1.0) == OWNER
    assert refusal(issuer, token, now=1.0) == "used"


def test_a_token_expires() -> None:
    issuer = TokenIssuer(ttl=60)
    token = issuer.issue(OWNER, 10.0)
    longer = issuer.issue(OWNER, 10.0, ttl=100)
    assert refusal(issuer, token, now=70.0) == "expired"
    assert issuer.redeem(longer, "sess_1", 70.0) == OWNER


def test_a_token_for_another_session_is_not_used_up() -> None:
    issuer = TokenIssuer()
    token = issuer.issue(OTHER, 0.0)
    assert refusal(issuer, token, "sess_1") == "other_session"
    assert issuer.redeem(token, "sess_2", 0.0) == OTHER


@pytest.mark.parametrize("token", ["", "guess", "\ud800"])
def test_an_unknown_token_is_refused(token: str) -> None:
    assert refusal(TokenIssuer(), token) == "unknown"


def test_the_tokens_of_a_session_are_revoked_together() -> None:
    issuer = TokenIssuer()
    first, second = issuer.issue(OWNER, 0.0), issuer.issue(OWNER, 0.0, ttl=1000)
    other = issuer.issue(OTHER, 0.0)
    issuer.revoke("sess_1")
    assert (refusal(issuer, first), refusal(issuer, second)) == ("unknown", "unknown")
    assert issuer.redeem(other, "sess_2", 0.0) == OTHER


def test_expired_tokens_are_forgotten() -> None:
    issuer = TokenIssuer(ttl=10)
    for now in range(1000):
        issuer.issue(OWNER, float(now), ttl=1000 if now == 0 else None)
    assert len(issuer) <= 11


def test_tokens_are_long_and_differ_and_are_not_in_memory() -> None:
    issuer = TokenIssuer()
    tokens = {issuer.issue(OWNER, 0.0) for _ in range(50)}
    assert len(tokens) == 50
    assert min(map(len, tokens)) >= 43  # 256 bits
    known = repr(vars(issuer))
    assert not any(token in known for token in tokens)


def test_the_source_of_tokens_can_be_chosen() -> None:
    numbers = count()
    issuer = TokenIssuer(new_token=lambda: f"token {next(numbers)}")
    assert issuer.issue(OWNER, 0.0) == "token 0"
