"""Counts for Prometheus; no label names a tenant, a session or anything of theirs."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

import medsam2
from medsam2.wire.problems import REFUSALS
from medsam2.wire.routes import PROTOCOL

STATUSES = {200, 202, 204} | {refusal.status for refusal in REFUSALS.values()}
ANSWER_S = (0.01, 0.05, 0.25, 1.0, 5.0)
PREDICTION_S = (0.05, 0.2, 0.5, 2.0, 10.0)


class Metrics:
    """All counts of one server."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self._answers = Counter("medsam2_answers", "Answers", ["status"], registry=registry)
        self._seconds = Histogram(
            "medsam2_answer_seconds",
            "Time to an answer's head",
            registry=registry,
            buckets=ANSWER_S,
        )
        self._jobs = Counter(
            "medsam2_jobs", "Jobs that are over", ["kind", "state"], registry=registry
        )
        self._slices = Counter("medsam2_slices", "Slices made", registry=registry)
        self._predictions = Histogram(
            "medsam2_prediction_seconds",
            "Time of predictions",
            registry=registry,
            buckets=PREDICTION_S,
        )
        self._evictions = Counter(
            "medsam2_evictions", "Sessions closed", ["reason"], registry=registry
        )
        self._gauges = {
            name: Gauge(f"medsam2_{name}", text, registry=registry)
            for name, text in (
                ("sessions", "Open sessions"),
                ("volumes", "Volumes in memory"),
                ("memory_bytes", "Bytes of voxels and results"),
                ("queue", "Jobs that wait or run"),
                ("worker_up", "Whether the worker is ready"),
                ("worker_restarts", "Workers that were replaced"),
            )
        }
        info = Gauge("medsam2_info", "Versions", ["version", "protocol"], registry=registry)
        info.labels(medsam2.__version__, PROTOCOL).set(1)

    def answered(self, status: int, seconds: float) -> None:
        """Counts an answer; ``seconds`` until its head was sent."""
        self._answers.labels(str(status) if status in STATUSES else "other").inc()
        self._seconds.observe(seconds)

    def job_over(self, kind: str, state: str, seconds: float) -> None:
        """Counts a job that is over."""
        self._jobs.labels(kind, state).inc()
        if kind == "predict" and state == "done":
            self._predictions.observe(seconds)

    def slice_made(self) -> None:
        """Counts a slice."""
        self._slices.inc()

    def evicted(self, reason: str) -> None:
        """Counts a session that the server closed."""
        self._evictions.labels(reason).inc()

    def show(self, **values: float) -> None:
        """Sets gauges by name."""
        for name, value in values.items():
            self._gauges[name].set(value)

    def render(self) -> bytes:
        """Returns all counts in Prometheus's text format."""
        return generate_latest(self._registry)
