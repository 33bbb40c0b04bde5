"""Keeps the fuzzer's requests from doing what they are allowed to do: faults on purpose, long holds, calls to strangers.

Only values that are valid are changed, and only to others that are as valid, so that what a request is expected to be answered with stays.
"""

import math
import os
import re
import uuid

import schemathesis

# How long a stream is listened to, in seconds. One of all jobs has no end.
LISTEN = 0.3
URL = re.compile(r"^https?://", re.IGNORECASE)
SPAN = re.compile(r"^[0-9]{1,7}(ms|s)?$")
UNIT = {"": 1, "d": 86_400, "h": 3_600, "m": 60, "s": 1, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
SPAN_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(d|h|ms|m|s|µs|ns|)")
SPAN_WHOLE = re.compile(rf"^{SPAN_PART.pattern}( {SPAN_PART.pattern})*$")
# What the description has for an idempotency key.
IDEMPOTENCY_KEY = re.compile(r"""^([!#-~]([ -~]*[!-~])?|"[ -~]+")$""")


def is_number(value, low, high):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high


def is_wait(value):
    return is_number(value, 0, 31_622_400) or (isinstance(value, str) and SPAN.match(value))


def seconds(span):
    """How long that is, of the spans that the description lets be made; `None` where it is none."""
    if is_number(span, 0, math.inf):
        return span
    parts = SPAN_PART.findall(span) if isinstance(span, str) and SPAN_WHOLE.match(span) else []
    return sum(float(number) * UNIT[unit] for number, unit in parts) if parts else None


def whole(value):
    """Writes whole numbers as such: to JSON Schema 3.0 is one, to the server's reader it isn't."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list):
        return [whole(item) for item in value]
    if isinstance(value, dict):
        return {name: whole(item) for name, item in value.items()}
    return value


def agree(body):
    """Leaves out what names nothing and what doesn't go together, which a description can't say."""
    if isinstance(body, dict) and isinstance(body.get("scenario"), str):
        body["scenario"] = None
    if isinstance(body, dict) and body.get("worker") == "external":
        body.pop("simulate", None)
    if isinstance(body, dict) and body.get("worker") != "external":
        body.pop("on_worker_lost", None)
    if isinstance(body, dict) and body.get("on_worker_lost") != "retry":
        body.pop("attempts_max", None)
    # A lease is as long as a worker is silent at most, and no description bounds a text that names a time.
    if isinstance(body, dict) and seconds(body.get("lease_s")) is not None:
        body["lease_s"] = 30


def report(body):
    """A report without a lease says something, which depends on a header."""
    if isinstance(body, dict):
        body.pop("release", None)
    if isinstance(body, dict) and body.keys() <= {"progress", "error"} and not any(body.values()):
        body["progress"] = {"percent": 50}


def in_order(match):
    """Writes the bounds of a uniform law with the shorter first."""
    low, high = sorted(match.groups(), key=seconds)
    return f"uniform:{low}:{high}"


def unnested(law, outer=()):
    """A law without one of its own sort inside, and with its bounds in order, which a description can't say."""
    if isinstance(law, str):
        # As text, `shifted:BY:LAW`.
        while "shifted" in outer and law.startswith("shifted:"):
            law = law.split(":", 2)[2]
        return re.sub(r"uniform:([0-9.]+[a-z]*):([0-9.]+[a-z]*)", in_order, law)
    if not isinstance(law, dict) or len(law) != 1:
        return law
    ((name, inner),) = law.items()
    if name == "shifted" and isinstance(inner, dict) and "law" in inner:
        if name in outer:
            return unnested(inner["law"], outer)
        inner["law"] = unnested(inner["law"], (*outer, name))
    if name == "mixture" and isinstance(inner, list) and all(isinstance(part, dict) and "law" in part for part in inner):
        if name in outer and inner:
            return unnested(inner[0]["law"], outer)
        for part in inner:
            part["law"] = unnested(part["law"], (*outer, name))
    return law


def tame(value):
    """Goes through a body, whatever it is."""
    if isinstance(value, list):
        for item in value:
            tame(item)
    if not isinstance(value, dict):
        return
    # A fault that is asked for is no fault of the server's.
    if isinstance(value.get("fault"), str) and is_number(value.get("chance", 1) or 0, 0, 1):
        value["chance"] = 0
    # Nobody else is to be called.
    if isinstance(value.get("url"), str) and URL.match(value["url"]):
        value["url"] = "http://127.0.0.1:9/"
    if is_wait(value.get("wait")):
        value["wait"] = 0.02
    # On the way every attempt to deliver a webhook is made, and a year of them takes its time.
    if is_wait(value.get("seconds")):
        value["seconds"] = 600
    if "duration" in value:
        value["duration"] = unnested(value["duration"])
    # A range begins before it ends, which a description can't say.
    if {"min", "max"} <= value.keys():
        ends = seconds(value["min"]), seconds(value["max"])
        if None not in ends and ends[0] > ends[1]:
            value["min"], value["max"] = value["max"], value["min"]
    for item in value.values():
        tame(item)


@schemathesis.hook
def before_call(context, case, kwargs):
    if isinstance(case.body, (dict, list, float)):
        case.body = whole(case.body)
    agree(case.body)
    if case.method == "PATCH" and case.path == "/v1/jobs/{id}":
        report(case.body)
        # The server alone makes these: one that is made up is as wrong as another.
        for name in [name for name in case.headers or {} if name.lower() == "lease-token"]:
            case.headers[name] = "lease_0123456789abcdef"
    tame(case.body)
    if case.query and is_wait(case.query.get("wait")):
        case.query["wait"] = "20ms"
    if case.headers and re.match(r"^wait=[0-9]+$", str(case.headers.get("Prefer"))):
        case.headers["Prefer"] = "wait=0"
    # Another body under a key that was used before is refused, and that is tried elsewhere.
    if case.headers and IDEMPOTENCY_KEY.match(key := str(case.headers.get("Idempotency-Key", ""))) and len(key) <= 255:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    if case.path.endswith("/events"):
        kwargs["timeout"] = LISTEN


if "KEY" in os.environ:

    @schemathesis.auth()
    class Key:
        """Shows the key, but where a request is tried without."""

        def get(self, case, context):
            return os.environ["KEY"]

        def set(self, case, data, context):
            case.headers["Authorization"] = f"Bearer {data}"
