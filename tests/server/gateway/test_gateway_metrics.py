"""What a gateway counts and measures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families
from trio.testing import MockClock

from support.gateway import make_spec, open_test_gateway
from trio_realtime import function_tool
from trio_realtime.local import Say, ScriptedResponder
from trio_realtime.server.gateway import GatewayMetrics
from trio_realtime.server.rpc import RpcEvent

Sample = tuple[str, frozenset[tuple[str, str]]]


def samples(metrics: GatewayMetrics) -> dict[Sample, float]:
    """Return all values, by the name without ``trio_realtime_`` and the labels."""
    return {
        (sample.name.removeprefix("trio_realtime_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def value(metrics: GatewayMetrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((name, frozenset(labels.items())))


def event(type_: str, data: Mapping[str, Any] | None = None, *, session: str = "s") -> RpcEvent:
    return RpcEvent(type=type_, session_id=session, run_id="r", seq=1, time=0, data=data or {})


def detached(role: str, session: str = "s") -> RpcEvent:
    data = {"client_id": "c", "role": role, "reason": "closed"}
    return event("client_detached", data, session=session)


def attached(role: str, session: str = "s") -> RpcEvent:
    return event("client_attached", {"client_id": "c", "role": role}, session=session)


ENDED = event("run_ended", {"by": "client", "reason": "client_ended"})


@pytest.mark.parametrize(
    ("counted", "name", "labels", "expected"),
    [
        (event("run_started", {"agent": "A"}), "sessions_started_total", {"agent": "A"}, 1),
        (
            ENDED,
            "sessions_ended_total",
            {"by": "client", "reason": "client_ended"},
            1,
        ),
        (event("run_warning", {"code": "c"}), "warnings_total", {"code": "c"}, 1),
        (event("realtime_tool_cancelled"), "tool_calls_total", {"outcome": "cancelled"}, 1),
        (
            event("realtime_tool_end", {"outcome": "completed", "duration": 0.3}),
            "tool_calls_total",
            {"outcome": "completed"},
            1,
        ),
        (
            event("realtime_tool_end", {"outcome": "completed", "duration": 0.3}),
            "tool_seconds_sum",
            {},
            0.3,
        ),
        (
            event("realtime_tool_end", {"outcome": "rejected"}),
            "tool_calls_total",
            {"outcome": "rejected"},
            1,
        ),
        (event("realtime_audio", {"delta_ms": 250}), "agent_audio_seconds_total", {}, 0.25),
        (event("realtime_audio_interrupted"), "interruptions_total", {}, 1),
        (event("realtime_guardrail_tripped"), "guardrails_tripped_total", {}, 1),
        (event("realtime_reconnected"), "reconnects_total", {}, 1),
        (
            event("realtime_error", {"error": {"type": "X", "message": "m"}}),
            "errors_total",
            {"type": "X"},
            1,
        ),
        (
            event(
                "realtime_agent_end",
                {"status": "completed", "latency": {"speech_to_audio": 0.4}},
            ),
            "agent_turns_total",
            {"status": "completed"},
            1,
        ),
        (
            event(
                "realtime_agent_end",
                {"status": "completed", "latency": {"speech_to_audio": 0.4}},
            ),
            "speech_to_audio_seconds_sum",
            {},
            0.4,
        ),
        (
            event(
                "realtime_agent_end",
                {"status": "cancelled", "latency": {"interruption_to_silence": 0.1}},
            ),
            "interruption_to_silence_seconds_sum",
            {},
            0.1,
        ),
        (attached("owner"), "clients_attached", {"role": "owner"}, 1),
        (attached("observer"), "clients_attached", {"role": "observer"}, 1),
    ],
)
def test_what_an_event_counts(
    counted: RpcEvent, name: str, labels: dict[str, str], expected: float
) -> None:
    metrics = GatewayMetrics()
    assert value(metrics, name, **labels) in (None, 0)
    metrics.count_event(counted)
    assert value(metrics, name, **labels) == pytest.approx(expected)
    metrics.count_event(counted)
    assert value(metrics, name, **labels) == pytest.approx(2 * expected)


def test_other_events_count_nothing() -> None:
    metrics = GatewayMetrics()
    before = samples(metrics)
    for type_ in ("realtime_history_added", "run_connected", "realtime_new_kind"):
        metrics.count_event(event(type_))
    after = samples(metrics)
    assert {name: count for name, count in after.items() if "created" not in name[0]} == {
        name: count for name, count in before.items() if "created" not in name[0]
    }


def test_clients_are_no_longer_attached_when_their_session_ends() -> None:
    metrics = GatewayMetrics()
    metrics.count_event(attached("owner"))
    metrics.count_event(attached("observer"))
    metrics.count_event(attached("observer"))
    metrics.count_event(attached("observer", "another"))
    metrics.count_event(detached("observer"))
    assert value(metrics, "clients_attached", role="observer") == 2
    metrics.count_event(ENDED)
    assert value(metrics, "clients_attached", role="owner") == 0
    assert value(metrics, "clients_attached", role="observer") == 1
    metrics.count_event(detached("observer", "another"))
    assert value(metrics, "clients_attached", role="observer") == 0


def test_running_sessions_and_refusals() -> None:
    running = 3
    metrics = GatewayMetrics(lambda: running)
    assert value(metrics, "sessions_running") == 3
    running = 2
    assert value(metrics, "sessions_running") == 2
    metrics.count_refusal("server_full")
    assert value(metrics, "sessions_refused_total", code="server_full") == 1


def test_percentiles_are_those_of_the_latest_values() -> None:
    metrics = GatewayMetrics()
    percentile = "latency_percentile_seconds"
    assert value(metrics, percentile, measure="tool", quantile="0.5") is None

    def measure(duration: float) -> None:
        data = {"outcome": "completed", "duration": duration}
        metrics.count_event(event("realtime_tool_end", data))

    for _ in range(500):
        measure(99.0)
    for hundredths in range(1000):
        measure((hundredths + 1) / 100)
    found = {
        quantile: value(metrics, percentile, measure="tool", quantile=quantile)
        for quantile in ("0.5", "0.9", "0.99")
    }
    assert found == {"0.5": 5.0, "0.9": 9.0, "0.99": 9.9}
    assert value(metrics, "tool_seconds_count") == 1500
    assert value(metrics, "tool_seconds_bucket", le="5.0") == 500
    assert value(metrics, "tool_seconds_bucket", le="+Inf") == 1500


async def test_the_lag_of_the_loop(autojump_clock: MockClock) -> None:
    metrics = GatewayMetrics()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(metrics.measure_loop_lag)
        await trio.sleep(1.1)
        assert value(metrics, "loop_lag_seconds_count") == 4
        assert value(metrics, "loop_lag_seconds_sum") == pytest.approx(0, abs=1e-6)
        autojump_clock.autojump_threshold = float("inf")
        autojump_clock.jump(2)  # the loop is busy for two seconds; a timer was due after 0.15
        autojump_clock.autojump_threshold = 0
        await trio.sleep(0.01)
        assert value(metrics, "loop_lag_seconds_count") == 5
        assert value(metrics, "loop_lag_seconds_sum") == pytest.approx(1.85, abs=0.01)
        assert value(
            metrics, "latency_percentile_seconds", measure="loop_lag", quantile="0.99"
        ) == pytest.approx(1.85, abs=0.01)
        nursery.cancel_scope.cancel()


@function_tool
async def get_weather(city: str) -> str:
    """Current weather in a city."""
    return f"Sunny in {city}"


async def test_the_events_of_real_sessions(autojump_clock: MockClock) -> None:
    metrics = GatewayMetrics()
    async with open_test_gateway(
        make_spec(get_weather), on_event=metrics.count_event
    ) as under_test:
        metrics.count_running(lambda: under_test.gateway.admission.running)
        owner = await under_test.call()
        hosted = under_test.gateway.find(owner.welcome["session_id"])
        token = under_test.gateway.issue_token(hosted.session, "observer")
        await under_test.attach(hosted.session.session_id, token, role="observer")
        await owner.send("text", text="What's the weather in Oslo?")
        await owner.receive_until("realtime_agent_end")
        assert value(metrics, "sessions_running") == 1
        assert value(metrics, "sessions_started_total", agent="Assistant") == 1
        assert value(metrics, "tool_calls_total", outcome="completed") == 1
        assert value(metrics, "agent_turns_total", status="completed") == 1
        assert value(metrics, "clients_attached", role="owner") == 1
        assert value(metrics, "clients_attached", role="observer") == 1
        await owner.send("end")
        await owner.receive_all()
        assert value(metrics, "sessions_running") == 0
        ended = value(metrics, "sessions_ended_total", by="client", reason="client_ended")
        assert ended == 1
        assert value(metrics, "clients_attached", role="owner") == 0
        assert value(metrics, "clients_attached", role="observer") == 0
        seconds = value(metrics, "agent_audio_seconds_total")
        assert seconds is not None
        assert seconds > 0.5


async def test_an_interruption_is_measured(autojump_clock: MockClock) -> None:
    metrics = GatewayMetrics()
    responder = ScriptedResponder([Say("one two three four five " * 20)])
    async with open_test_gateway(on_event=metrics.count_event, responder=responder) as under_test:
        owner = await under_test.call()
        await owner.send("text", text="Tell me a story")
        await owner.receive_until("realtime_audio")
        await trio.sleep(1)
        await owner.send("interrupt", id="1")
        await owner.receive_until("ack")
        assert value(metrics, "interruptions_total") == 1
