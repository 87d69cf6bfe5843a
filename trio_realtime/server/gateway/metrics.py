"""What a gateway counts and measures, in the text format of Prometheus."""

from __future__ import annotations

from collections import Counter as PlainCounter, deque
from collections.abc import Callable, Iterator
from typing import Any, Final, final

import trio
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from trio_realtime.latency import Percentiles, percentiles_of
from trio_realtime.server.rpc import RpcEvent

__all__ = ["CONTENT_TYPE", "GatewayMetrics"]

#: The content type of the text format.
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_BUCKETS: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_LAG_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_LAG_INTERVAL: Final = 0.25
_WINDOW: Final = 1000
_QUANTILES: Final = (("0.5", "p50"), ("0.9", "p90"), ("0.99", "p99"))


@final
class _Latency:
    """A histogram for aggregation, and percentiles of the latest values for a look at one server."""

    def __init__(
        self, name: str, text: str, registry: CollectorRegistry, buckets: tuple[float, ...]
    ) -> None:
        self.histogram = Histogram(
            f"trio_realtime_{name}_seconds", text, registry=registry, buckets=buckets
        )
        self._latest: deque[float] = deque(maxlen=_WINDOW)
        self._count = 0

    def observe(self, seconds: float | None) -> None:
        if seconds is None:
            return
        self.histogram.observe(seconds)
        self._latest.append(seconds)
        self._count += 1

    def percentiles(self) -> Percentiles:
        return percentiles_of(self._latest, self._count)


@final
class GatewayMetrics(Collector):
    """Counts the events of a gateway's sessions, and measures their latencies.

    Pass :meth:`count_event` as ``on_event`` and :meth:`count_refusal` as ``on_refusal`` to :func:`.open_gateway`,
    and run :meth:`measure_loop_lag` in a task.

    Args:
        running: returns how many sessions run.
    """

    def __init__(self, running: Callable[[], int] = lambda: 0) -> None:
        self.registry: CollectorRegistry = CollectorRegistry()
        registry = self.registry
        self._running = Gauge(
            "trio_realtime_sessions_running", "Sessions that have not ended.", registry=registry
        )
        self.count_running(running)
        self._started = _counter(registry, "sessions_started", "Sessions that began.", "agent")
        self._ended = _counter(registry, "sessions_ended", "Sessions that ended.", "by", "reason")
        self._refused = _counter(
            registry, "sessions_refused", "Requests for sessions that were refused.", "code"
        )
        self._attached = Gauge(
            "trio_realtime_clients_attached",
            "Clients that are attached to sessions.",
            ["role"],
            registry=registry,
        )
        self._turns = _counter(registry, "agent_turns", "Turns of agents.", "status")
        self._calls = _counter(registry, "tool_calls", "Calls of tools.", "outcome")
        self._interruptions = _counter(registry, "interruptions", "Interrupted items of audio.")
        self._guardrails = _counter(registry, "guardrails_tripped", "Guardrails that tripped.")
        self._reconnects = _counter(registry, "reconnects", "Connections that were replaced.")
        self._errors = _counter(registry, "errors", "Errors of sessions that went on.", "type")
        self._warnings = _counter(registry, "warnings", "Warnings of runs.", "code")
        self._audio = _counter(
            registry, "agent_audio_seconds", "Audio that the service has sent, in seconds."
        )
        self._latencies = {
            "speech_to_audio": _Latency(
                "speech_to_audio", "From the end of speech to the first audio.", registry, _BUCKETS
            ),
            "interruption_to_silence": _Latency(
                "interruption_to_silence",
                "From the beginning of an interruption to the end of the audio.",
                registry,
                _BUCKETS,
            ),
            "tool": _Latency("tool", "Duration of a call of a tool.", registry, _BUCKETS),
            "loop_lag": _Latency(
                "loop_lag", "How late timers of the event loop are.", registry, _LAG_BUCKETS
            ),
        }
        # The roles of the clients of each session. The end of a session detaches all of them.
        self._clients: dict[str, PlainCounter[str]] = {}
        self._counting: dict[str, Callable[[Any], None]] = {
            "run_started": self._on_started,
            "run_ended": self._on_ended,
            "run_warning": self._on_warning,
            "realtime_agent_end": self._on_agent_end,
            "realtime_tool_end": self._on_tool_end,
            "realtime_tool_cancelled": self._on_tool_cancelled,
            "realtime_audio": self._on_audio,
            "realtime_audio_interrupted": self._on_interrupted,
            "realtime_guardrail_tripped": self._on_guardrail,
            "realtime_reconnected": self._on_reconnected,
            "realtime_error": self._on_error,
        }
        registry.register(self)

    def count_running(self, running: Callable[[], int]) -> None:
        """Set the function that returns how many sessions run."""
        self._running.set_function(running)

    def count_refusal(self, code: str) -> None:
        """Count a request for a session that was refused."""
        self._refused.labels(code).inc()

    def count_event(self, event: RpcEvent) -> None:
        """Count an event of a session."""
        if event.type in ("client_attached", "client_detached", "run_ended"):
            self._count_clients(event)
        count = self._counting.get(event.type)
        if count is not None:
            count(event.data)

    async def measure_loop_lag(self) -> None:
        """Measure how late the event loop is, until cancelled."""
        lag = self._latencies["loop_lag"]
        while True:
            due = trio.current_time() + _LAG_INTERVAL
            await trio.sleep_until(due)
            lag.observe(max(trio.current_time() - due, 0.0))

    def collect(self) -> Iterator[Metric]:
        """Yield the percentiles of the latest values, as Prometheus asks for them."""
        family = GaugeMetricFamily(
            "trio_realtime_latency_percentile_seconds",
            f"Percentiles of the latest {_WINDOW} values.",
            labels=["measure", "quantile"],
        )
        for name, latency in self._latencies.items():
            percentiles = latency.percentiles()
            if percentiles.count:
                for quantile, attribute in _QUANTILES:
                    family.add_metric([name, quantile], getattr(percentiles, attribute))
        yield family

    def text(self) -> bytes:
        """Return all values in the text format."""
        return generate_latest(self.registry)

    # --- what each event counts

    def _on_started(self, data: Any) -> None:
        self._started.labels(data["agent"]).inc()

    def _on_ended(self, data: Any) -> None:
        self._ended.labels(data["by"], data["reason"]).inc()

    def _count_clients(self, event: RpcEvent) -> None:
        clients = self._clients.setdefault(event.session_id, PlainCounter())
        if event.type == "run_ended":
            change = {role: -count for role, count in clients.items()}
            del self._clients[event.session_id]
        else:
            change = {event.data["role"]: 1 if event.type == "client_attached" else -1}
            clients.update(change)
        for role, count in change.items():
            self._attached.labels(role).inc(count)

    def _on_agent_end(self, data: Any) -> None:
        self._turns.labels(data["status"]).inc()
        for name in ("speech_to_audio", "interruption_to_silence"):
            self._latencies[name].observe(data["latency"].get(name))

    def _on_tool_end(self, data: Any) -> None:
        self._calls.labels(data["outcome"]).inc()
        self._latencies["tool"].observe(data.get("duration"))

    def _on_tool_cancelled(self, _data: Any) -> None:
        self._calls.labels("cancelled").inc()

    def _on_audio(self, data: Any) -> None:
        self._audio.inc(data["delta_ms"] / 1000)

    def _on_interrupted(self, _data: Any) -> None:
        self._interruptions.inc()

    def _on_guardrail(self, _data: Any) -> None:
        self._guardrails.inc()

    def _on_reconnected(self, _data: Any) -> None:
        self._reconnects.inc()

    def _on_error(self, data: Any) -> None:
        self._errors.labels(data["error"]["type"]).inc()

    def _on_warning(self, data: Any) -> None:
        self._warnings.labels(data["code"]).inc()


def _counter(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Counter:
    return Counter(f"trio_realtime_{name}", text, labels, registry=registry)
