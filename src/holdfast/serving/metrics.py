"""What a server counts, for Prometheus and for the protocol's statistics.

Owns the names of the metrics. Leaves when something is counted to `app` and `batching`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from holdfast.errors import MissingExtraError
from holdfast.serving.metadata import Counts

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """Counts, in a registry of its own.

    Args:
        waiting: says how many requests wait.

    Raises:
        MissingExtraError: prometheus_client is not installed.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        try:
            import prometheus_client
        except ModuleNotFoundError as error:
            raise MissingExtraError("prometheus-client", "serve", "Serving") from error
        registry = prometheus_client.CollectorRegistry()
        self._text: Callable[[], bytes] = lambda: prometheus_client.generate_latest(registry)
        self._requests = prometheus_client.Counter(
            "holdfast_requests", "Requests answered.", ("path", "status"), registry=registry
        )
        self._seconds = prometheus_client.Histogram(
            "holdfast_request_seconds",
            "From a request's first line to its answer.",
            ("path",),
            registry=registry,
            buckets=_SECONDS,
        )
        self._batches = prometheus_client.Histogram(
            "holdfast_batch_rows",
            "Rows judged together.",
            registry=registry,
            buckets=_ROWS,
        )
        self._rows = prometheus_client.Counter("holdfast_rows", "Rows judged.", registry=registry)
        self._swaps = prometheus_client.Counter(
            "holdfast_swaps", "Versions that took another's place.", registry=registry
        )
        self._version = prometheus_client.Info(
            "holdfast_model", "The model that answers.", registry=registry
        )
        queue = prometheus_client.Gauge(
            "holdfast_queue_requests", "Requests that wait.", registry=registry
        )
        queue.set_function(waiting)
        self._answered: dict[tuple[str, int], Callable[[], None]] = {}
        self._took: dict[str, Callable[[float], None]] = {}
        self._good, self._failed, self._last = 0, 0, 0.0
        self._batches_run, self._rows_run = 0, 0
        self._request_seconds, self._failed_seconds = 0.0, 0.0
        self._queue_seconds, self._run_seconds = 0.0, 0.0

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request.

        Args:
            path: the pattern of its path: not what was asked for, which may be anything.
            status: of the answer.
            seconds: that it took.
        """
        key = (path, status)
        if key not in self._answered:
            self._answered[key] = self._requests.labels(path, str(status)).inc
            self._took[path] = self._seconds.labels(path).observe
        self._answered[key]()
        self._took[path](seconds)

    def inferred(self, good: bool, seconds: float) -> None:
        """Count a request to judge."""
        self._last = time.time()
        if good:
            self._good += 1
            self._request_seconds += seconds
        else:
            self._failed += 1
            self._failed_seconds += seconds

    def batch(self, rows: int, waited: float, seconds: float) -> None:
        """Count a batch, as `batching` tells of it."""
        self._batches.observe(rows)
        self._rows.inc(rows)
        self._batches_run += 1
        self._rows_run += rows
        self._queue_seconds += waited
        self._run_seconds += seconds

    def model(self, name: str, version: str, *, swapped: bool = False) -> None:
        """Say which model answers."""
        self._version.info({"name": name, "version": version})
        if swapped:
            self._swaps.inc()

    def counts(self) -> Counts:
        """Return the protocol's statistics."""
        return Counts(
            self._good,
            self._failed,
            self._batches_run,
            self._rows_run,
            self._request_seconds,
            self._failed_seconds,
            self._queue_seconds,
            self._run_seconds,
            self._last,
        )

    def text(self) -> bytes:
        """Return all of them as Prometheus reads them."""
        text: bytes = self._text()
        return text
