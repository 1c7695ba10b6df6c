from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from medsam2.server.metrics import STATUSES, Metrics
from medsam2.wire.problems import REFUSALS


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def show(metrics: Metrics, **changes: int) -> None:
    now = {"sessions": 1, "volumes": 2, "memory_bytes": 3, "queue": 4, "worker_restarts": 0}
    metrics.show(worker_up=True, **(now | changes))


def test_everything_that_happens_is_counted():
    metrics = Metrics()
    metrics.answered(200, 0.02)
    metrics.answered(200, 2.0)
    metrics.answered(410, 0.001)
    metrics.job_over("propagate", "done", 9.0)
    metrics.job_over("predict", "done", 0.2)
    metrics.job_over("predict", "cancelled", 0.1)
    metrics.slice_made()
    metrics.evicted("expired")
    show(metrics)
    found = samples(metrics)
    assert found["medsam2_answers_total", "200"] == 2
    assert found["medsam2_answers_total", "410"] == 1
    assert found["medsam2_answer_seconds_bucket", "0.05"] == 2
    assert found["medsam2_jobs_total", "propagate,done"] == 1
    assert found["medsam2_predict_seconds_count", ""] == 1
    assert found["medsam2_slices_total", ""] == 1
    assert found["medsam2_evictions_total", "expired"] == 1
    gauges = ["sessions", "volumes", "memory_bytes", "queue", "worker_up"]
    assert [found[f"medsam2_{name}", ""] for name in gauges] == [1, 2, 3, 4, 1]


def test_restarts_only_grow():
    metrics = Metrics()
    counts = []
    for restarts in (0, 2, 2, 1, 3):
        show(metrics, worker_restarts=restarts)
        counts.append(samples(metrics)["medsam2_worker_restarts_total", ""])
    assert counts == [0, 2, 2, 2, 3]


def test_the_build_is_described_by_one_series():
    metrics = Metrics()
    metrics.describe("litemedsam", "cpu")
    metrics.describe("litemedsam", "cuda:0")
    builds = [key for key in samples(metrics) if key[0] == "medsam2_build_info"]
    assert len(builds) == 1
    assert {"1.0", "litemedsam", "cuda:0"} <= set(builds[0][1].split(","))


def test_nothing_makes_more_than_sixty_series():
    metrics = Metrics()
    for status in range(100, 600):
        metrics.answered(status, status / 100)
    for n in range(100):
        metrics.evicted(f"reason {n}")
    for kind in ("propagate", "predict"):
        for state in ("done", "failed", "cancelled"):
            metrics.job_over(kind, state, 1.0)
    for reason in ("evicted", "expired"):
        metrics.evicted(reason)
    metrics.slice_made()
    show(metrics)
    found = samples(metrics)
    assert len(found) <= 60
    assert found["medsam2_answers_total", "other"] == 500 - len(STATUSES)
    assert {refusal.status for refusal in REFUSALS.values()} <= STATUSES


def test_two_servers_in_one_process_count_apart():
    one, two = Metrics(), Metrics()
    one.slice_made()
    assert samples(two)["medsam2_slices_total", ""] == 0
