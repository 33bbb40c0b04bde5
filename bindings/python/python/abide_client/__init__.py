"""Wait for long-running jobs without wasting a request or a second.

`poll_until` waits on any vendor's SDK, `Client` and `AsyncClient` on an abide server.
"""

from __future__ import annotations

from . import _core
from ._client import AsyncClient, AsyncJobHandle, Client, JobHandle, Strategy
from ._core import History, Retry, Schedule
from ._errors import (
    AbideError,
    Garbled,
    JobCanceled,
    JobFailed,
    LeaseLost,
    NotFound,
    Refused,
    StillRunning,
    UnknownStateWarning,
    Unreachable,
    UsageError,
)
from ._http import AsyncTransport, Broken, Transport
from ._poll import poll_until
from ._recognize import Look
from ._types import (
    Done,
    End,
    Event,
    Finished,
    Gap,
    HistoryStore,
    Job,
    Problem,
    Progress,
    Remaining,
    Report,
    StreamToken,
)
from ._worker import AsyncLease, Lease
from .webhooks import Delivery, Inbox, Verifier, Webhook, WebhookError

__version__ = "0.1.0"

if _core.version() != __version__:
    raise ImportError(f"abide_client {__version__} has an extension of version {_core.version()}: install it anew")

__all__ = [
    "AbideError",
    "AsyncClient",
    "AsyncJobHandle",
    "AsyncLease",
    "AsyncTransport",
    "Broken",
    "Client",
    "Delivery",
    "Done",
    "End",
    "Event",
    "Finished",
    "Gap",
    "Garbled",
    "History",
    "HistoryStore",
    "Inbox",
    "Job",
    "JobCanceled",
    "JobFailed",
    "JobHandle",
    "Lease",
    "LeaseLost",
    "Look",
    "NotFound",
    "Problem",
    "Progress",
    "Refused",
    "Remaining",
    "Report",
    "Retry",
    "Schedule",
    "StillRunning",
    "Strategy",
    "StreamToken",
    "Transport",
    "UnknownStateWarning",
    "Unreachable",
    "UsageError",
    "Verifier",
    "Webhook",
    "WebhookError",
    "poll_until",
]
