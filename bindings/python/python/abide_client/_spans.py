"""Spans of waits, for a program that uses OpenTelemetry."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ._errors import AbideError
from ._types import Report


class Span:
    """A wait's span, or none."""

    def __init__(self, span: Any) -> None:
        self._span = span

    def report(self, end: str, report: Report | None) -> None:
        """How the wait ended, and what it cost."""
        if self._span is None:
            return
        self._span.set_attribute("abide.end", end)
        if report is not None:
            for name in ("requests", "failures", "channel", "strategy", "elapsed", "detection"):
                value = getattr(report, name)
                if value is not None:
                    self._span.set_attribute(f"abide.{name}", value)


@contextmanager
def waiting(**about: str) -> Iterator[Span]:
    """The span `abide.wait`, where the program has loaded OpenTelemetry."""
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        yield Span(None)
        return
    attributes = {f"abide.{name}": value for name, value in about.items()}
    with trace.get_tracer("abide_client").start_as_current_span("abide.wait", attributes=attributes) as span:
        told = Span(span)
        try:
            yield told
        except AbideError as error:
            told.report(type(error).__name__, error.report)
            raise
