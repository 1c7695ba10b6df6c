"""What the server counts, as Prometheus text. No label holds an identifier, and all are bounded."""

from __future__ import annotations

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

import medsam2
from medsam2.wire import routes
from medsam2.wire.problems import REFUSALS

STATUSES = frozenset({200, 202, 204} | {refusal.status for refusal in REFUSALS.values()})
"""Statuses that are counted one by one; all others are counted together."""

KINDS = frozenset({"propagate", "predict"})
STATES = frozenset({"done", "failed", "cancelled"})
REASONS = frozenset({"evicted", "expired"})
GAUGES = {
    "sessions": "Open sessions.",
    "volumes": "Volumes, complete or on their way.",
    "memory_bytes": "Voxels and results.",
    "queue": "Jobs that wait or run.",
    "worker_up": "Whether the worker is ready.",
}

_OTHER = "other"
_ANSWER_S = 0.01, 0.05, 0.25, 1.0, 5.0
_PREDICT_S = 0.1, 0.4, 1.6, 6.4


class Metrics:
    """The server's counts; safe to use from any thread."""

    def __init__(self) -> None:
        # Times of creation would double the series and say nothing new.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = own = CollectorRegistry()
        counter = Counter("medsam2_answers", "Answers by HTTP status.", ["status"], registry=own)
        self._answers = counter
        self._answer_s = Histogram(
            "medsam2_answer_seconds", "Time until the head.", buckets=_ANSWER_S, registry=own
        )
        self._jobs = Counter("medsam2_jobs", "Jobs that are over.", ["kind", "state"], registry=own)
        self._predict_s = Histogram(
            "medsam2_predict_seconds",
            "Time of predictions that succeeded.",
            buckets=_PREDICT_S,
            registry=own,
        )
        self._slices = Counter("medsam2_slices", "Slices made.", registry=own)
        self._evictions = Counter(
            "medsam2_evictions", "Sessions that made way.", ["reason"], registry=own
        )
        self._restarts = Counter("medsam2_worker_restarts", "Workers replaced.", registry=own)
        self._restarts_seen = 0
        self._gauges = {
            name: Gauge(f"medsam2_{name}", text, registry=own) for name, text in GAUGES.items()
        }
        self._build = Info("medsam2_build", "What runs.", registry=own)
        self.describe("", "")

    def answered(self, status: int, seconds: float) -> None:
        """Counts an answer, and the time until its head was sent."""
        self._answers.labels(str(status) if status in STATUSES else _OTHER).inc()
        self._answer_s.observe(seconds)

    def job_over(self, kind: str, state: str, seconds: float) -> None:
        """Counts a job that ended, with the time it ran."""
        self._jobs.labels(_bounded(kind, KINDS), _bounded(state, STATES)).inc()
        if (kind, state) == ("predict", "done"):
            self._predict_s.observe(seconds)

    def slice_made(self) -> None:
        """Counts a slice."""
        self._slices.inc()

    def evicted(self, reason: str) -> None:
        """Counts a session that was closed, by the code that its client will be answered."""
        self._evictions.labels(_bounded(reason, REASONS)).inc()

    def show(self, *, worker_restarts: int, **now: float) -> None:
        """Sets what is the case now; to be called before :meth:`render`.

        Args:
            worker_restarts: since the start.
            now: by the names of :data:`GAUGES`.
        """
        for name, value in now.items():
            self._gauges[name].set(value)
        self._restarts.inc(max(0, worker_restarts - self._restarts_seen))
        self._restarts_seen = max(worker_restarts, self._restarts_seen)

    def describe(self, model: str, device: str) -> None:
        """Says which model runs where, once that is known."""
        versions = {"version": medsam2.__version__, "protocol": routes.PROTOCOL}
        self._build.info({**versions, "model": model, "device": device})

    def render(self) -> bytes:
        """Returns everything as text of version 0.0.4."""
        return prometheus_client.generate_latest(self._registry)


def _bounded(label: str, known: frozenset[str]) -> str:
    return label if label in known else _OTHER
