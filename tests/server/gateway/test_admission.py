"""Limits of the server and of tenants."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from trio_realtime.errors import ConfigurationError
from trio_realtime.server.gateway.admission import Admission, NotAdmitted, TenantLimits


def refusal(admission: Admission, tenant: str = "acme", now: float = 0.0) -> NotAdmitted:
    with pytest.raises(NotAdmitted) as caught:
        admission.admit(tenant, now)
    return caught.value


def test_the_server_has_a_limit_for_all_tenants() -> None:
    admission = Admission(max_sessions=2)
    admission.admit("acme", 0.0)
    admission.admit("other", 0.0)
    assert refusal(admission).code == "server_full"
    admission.release("other")
    admission.admit("acme", 0.0)
    assert (admission.running, admission.running_of("acme")) == (2, 2)


def test_a_tenant_has_a_limit_of_its_own() -> None:
    admission = Admission(
        tenants={"acme": TenantLimits(max_sessions=1)}, default=TenantLimits(max_sessions=2)
    )
    admission.admit("acme", 0.0)
    refused = refusal(admission)
    assert refused.code == "tenant_full"
    assert str(refused) == "at most 1 sessions may run at once"
    admission.admit("other", 0.0)
    admission.admit("other", 0.0)
    assert refusal(admission, "other").code == "tenant_full"


def test_sessions_that_begin_too_fast_are_refused_until_a_minute_has_passed() -> None:
    admission = Admission(default=TenantLimits(max_sessions_per_minute=2))
    for now in (0.0, 20.0):
        admission.admit("acme", now)
        admission.release("acme")
    refused = refusal(admission, now=50.0)
    assert (refused.code, refused.retry_after) == ("rate_limited", 10.0)
    admission.admit("other", 50.0)
    admission.admit("acme", 60.0)
    assert refusal(admission, now=79.0).code == "rate_limited"


def test_a_refused_session_does_not_count_for_the_rate() -> None:
    admission = Admission(max_sessions=1, default=TenantLimits(max_sessions_per_minute=2))
    admission.admit("acme", 0.0)
    for _ in range(5):
        assert refusal(admission).code == "server_full"
    admission.release("acme")
    admission.admit("acme", 0.0)


def test_nothing_is_admitted_while_the_server_shuts_down() -> None:
    admission = Admission()
    admission.admit("acme", 0.0)
    admission.drain()
    assert refusal(admission).code == "draining"
    assert admission.is_draining
    admission.release("acme")
    assert admission.running == 0


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "3"])
def test_a_limit_must_be_a_positive_int(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_sessions must be an int > 0"):
        TenantLimits(max_sessions=value)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.booleans()), max_size=80))
def test_the_limits_hold_in_any_order(steps: list[tuple[str, bool]]) -> None:
    admission = Admission(max_sessions=4, default=TenantLimits(max_sessions=2))
    running: list[str] = []
    for tenant, begins in steps:
        if begins:
            full = len(running) >= 4 or running.count(tenant) >= 2
            try:
                admission.admit(tenant, 0.0)
            except NotAdmitted:
                assert full
            else:
                assert not full
                running.append(tenant)
        elif tenant in running:
            admission.release(tenant)
            running.remove(tenant)
        assert admission.running == len(running)
        assert admission.running_of(tenant) == running.count(tenant)


@pytest.mark.parametrize("limit", [0, -1, True, "2", 1.5])
def test_a_limit_of_the_server_that_cannot_be_one(limit: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_sessions must be an int > 0"):
        Admission(max_sessions=limit)


def test_tenants_without_sessions_are_forgotten() -> None:
    admission = Admission(default=TenantLimits(max_sessions_per_minute=2))
    for number in range(1000):
        now = float(number)
        admission.admit(f"user-{number}", now)
        admission.release(f"user-{number}")
    assert len(admission._begun) <= 120
    admission.admit("user-999", 1000.0)
    assert refusal(admission, "user-999", 1001.0).code == "rate_limited"
