"""Spans of waits, for a program that uses OpenTelemetry."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from ._errors import AbideError
from ._types import Report


class Span:
    """A wait's span; the one without a span of OpenTelemetry's stands for all waits of a program without it."""

    __slots__ = ("_span",)

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

    def __enter__(self) -> Span:
        return self

    def __exit__(self, *_: object) -> None: ...


_NONE = Span(None)


def waiting(**about: str) -> AbstractContextManager[Span]:
    """The span `abide.wait`, where the program has loaded OpenTelemetry."""
    trace: Any = sys.modules.get("opentelemetry.trace")
    return _NONE if trace is None else _traced(trace, about)


@contextmanager
def _traced(trace: Any, about: Mapping[str, str]) -> Iterator[Span]:
    attributes = {f"abide.{name}": value for name, value in about.items()}
    with trace.get_tracer("abide_client").start_as_current_span("abide.wait", attributes=attributes) as span:
        told = Span(span)
        try:
            yield told
        except AbideError as error:
            told.report(type(error).__name__, error.report)
            raise
