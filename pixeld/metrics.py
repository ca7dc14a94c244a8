"""What pixeld counts about itself. Names, units and help texts are here and nowhere else; no client or partner id is
ever a label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

GAUGES = {
    "pixeld_ready": "1 when every dependency does its part, else 0.",
    "pixeld_buffer_bytes": "Bytes of events in memory that are not durable yet.",
    "pixeld_spill_bytes": "Bytes on disk that Redis has not taken yet.",
    "pixeld_queue_chunks": "Chunks in the Redis stream, those kept after their flush included; as last seen in Redis.",
    "pixeld_dead_letters": "Entries in the dead-letter stream, which wait for a person; as last seen in Redis.",
    "pixeld_oldest_unflushed_seconds": "Age of the oldest event that is not in ClickHouse yet: in spill, Redis or buffer.",
    "pixeld_waiting_events": "Events answered and not in ClickHouse yet, whichever process took them: in the spill, and in "
    "Redis behind the last finished batch. Exact; what Redis holds is known once it has answered this process.",
    "pixeld_others_waiting_events": "Events that wait in Redis in the queues of all other nodes, living or gone.",
    "pixeld_others_oldest_unflushed_seconds": "Age of the oldest of them.",
    "pixeld_others_dead_letters": "Dead letters of all other nodes.",
    "pixeld_flush_last_success_timestamp_seconds": "Unix time of the last finished batch.",
    "pixeld_connections": "Open connections on the public listener.",
    "pixeld_workers": "Processes that answer, beside the one that flushes; as last seen.",
}
COUNTERS = {
    "pixeld_stored_events_total": "Events made durable, in Redis or in the spill.",
    "pixeld_flushed_events_total": "Events inserted into ClickHouse.",
    "pixeld_flush_failures_total": "Attempts to flush that failed and will be repeated.",
    "pixeld_queue_failures_total": "Chunks that Redis did not take at the first attempt.",
    "pixeld_spilled_chunks_total": "Chunks written to the spill.",
    "pixeld_spill_damaged_records_total": "Stretches of the spill that could not be read back; the log says where.",
    "pixeld_refused_connections_total": "Connections closed at once, because max_connections were open.",
    "pixeld_slow_requests_total": "Connections closed because a request took longer than request_s to arrive.",
    "pixeld_worker_restarts_total": "Processes that answer which had ended by themselves and were started again.",
    "pixeld_worker_kills_total": "Processes that answer which hung and were killed; each is started again.",
    "pixeld_answer_errors_total": "Attempts to answer that raised; the request was tried again the ordinary way.",
}
_ANSWERED = "pixeld_answers_total"

Report = dict[str, Any]
_NOTHING: Report = {"answers": [], "counts": {}}


class Metrics:
    """Plain numbers while events flow, Prometheus' families when somebody asks.

    A `prometheus_client` counter takes a lock and 0.9 µs an increment; a dictionary's, a tenth of that.
    """

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, str]] = Counter()  #: by kind of event, and its quality or why it is not stored
        self.counts: Counter[str] = Counter()
        self._gauges: dict[str, Callable[[], float]] = {}
        self._reports: dict[str, Report] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def add(self, name: str, n: int = 1) -> None:
        """Count `n` under a name of COUNTERS. KeyError for another, so that no figure goes missing by a typing error."""
        COUNTERS[name]
        self.counts[name] += n

    def gauge(self, name: str, read: Callable[[], float]) -> None:
        """Ask `read` for the value of a name of GAUGES. KeyError for another."""
        GAUGES[name]
        self._gauges[name] = read

    def report(self) -> Report:
        """All counts so far as plain values, for the process in whose metrics they are merged."""
        return {"answers": [[*labels, n] for labels, n in self.answers.items()], "counts": dict(self.counts)}

    def merge(self, source: str, report: Report) -> None:
        """Count what another process has counted so far; its next report takes this one's place."""
        self._reports[source] = report

    def settle(self, source: str) -> None:
        """That process has ended: what it counted stays, and what is reported under its name next comes on top."""
        answers, counts = _sums([self._reports.pop(source, _NOTHING)])
        self.answers.update(answers)
        self.counts.update(counts)

    def collect(self) -> Iterable[Metric]:
        """The families, as prometheus_client asks for them."""
        answers = CounterMetricFamily(_ANSWERED, "Answers by kind of event and outcome.", labels=("kind", "outcome"))
        answered, counts = _sums([self.report(), *self._reports.values()])
        for labels, n in answered.items():
            answers.add_metric(labels, n)
        yield answers
        for name, text in COUNTERS.items():
            yield CounterMetricFamily(name, text, value=counts[name])
        for name, read in self._gauges.items():
            yield GaugeMetricFamily(name, GAUGES[name], value=read())

    def render(self) -> bytes:
        """The text exposition format, version 0.0.4."""
        return generate_latest(self._registry)


def _sums(reports: Iterable[Report]) -> tuple[Counter[tuple[str, str]], Counter[str]]:
    answers: Counter[tuple[str, str]] = Counter()
    counts: Counter[str] = Counter()
    for report in reports:
        for kind, outcome, n in report["answers"]:
            answers[kind, outcome] += n
        counts.update(report["counts"])
    return answers, counts
