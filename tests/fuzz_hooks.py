"""How tests/fuzz.py sends what is generated, and what it leaves out, each with its reason."""

import os
import random
import re
import uuid

import schemathesis

OWN_KEY = os.environ["FUZZ_OWN_KEY"]


@schemathesis.hook
def filter_case(context, case):
    # It would end the key that all requests are made with.
    own = str((case.path_parameters or {}).get("keyId", "")).strip() == OWN_KEY
    # With `partial`, items that are wrong are told in the answer: 200 is right.
    partial = isinstance(case.body, dict) and case.body.get("partial") is True
    # The wire contract reads [] as an object without fields, and ignores fields that it does not know: `extra` came later, so
    # one that is no object is ignored too.
    return not own and not partial and case.body != [] and not has_odd_extra(case.body)


def has_odd_extra(body):
    if not isinstance(body, dict):
        return False
    items = body.get("items")
    parts = [body, body.get("set"), *(items if isinstance(items, list) else [])]
    return any(isinstance(part, dict) and not isinstance(part.get("extra", {}), dict) for part in parts)


@schemathesis.hook
def before_call(context, case, kwargs):
    path = case.path_parameters or {}
    # The examples of the document are sent unfiltered.
    if str(path.get("keyId", "")).strip() == OWN_KEY:
        path["keyId"] = "2"
    # What an act is on may be no parcel: its `trackingId` is null, and none of the answers' ids to go on with.
    if path.get("trackingId") in (None, "None", "null") and "trackingId" in path:
        path["trackingId"] = "1"
    # A client with 20 wrong keys in a minute has to wait. Wrong ones are sent all the time, so each request has a client.
    case.headers["X-Forwarded-For"] = ".".join(str(random.randrange(1, 255)) for _ in range(4))
    # A key that was used for another request is refused: 422 is right.
    if case.headers.get("Idempotency-Key"):
        case.headers["Idempotency-Key"] = uuid.uuid4().hex


@schemathesis.hook
def map_query(context, query):
    # Cursors are opaque: one that is invented is refused, though it looks like one.
    for name in ("after", "cursor"):
        (query or {}).pop(name, None)
    # Long ones would be waited for.
    if str((query or {}).get("wait", "")).isdigit():
        query["wait"] = "0"
    # The wire contract reads an empty number as none.
    for name in ("limit", "offset", "wait"):
        value = (query or {}).get(name, 0)
        if value == "" or not isinstance(value, (str, int, float)):
            del query[name]
    # Numbers are found by their letters and digits.
    if not any(char.isalnum() for char in str((query or {}).get("number", "1"))):
        del query["number"]
    return query


def is_plain(text):
    return isinstance(text, str) and 0 < len(text.strip()) and len(text) <= 40


def is_name(text):
    return re.fullmatch("[a-z0-9_]{1,40}", text) and text not in ("postal_code", "ship_date", "country")


@schemathesis.hook
def map_body(context, body):
    if not isinstance(body, dict):
        return body
    # A key's end must be to come.
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T.*(Z|[+-][0-9:]+)", str(body.get("expiresAt"))):
        body["expiresAt"] = "2099-01-01T00:00:00Z"
    # A parcel has 20 labels, 50 keys and 13 things told beside the number at most, however many requests add some.
    items = body.get("items")
    for words in (body, body.get("set"), *(items if isinstance(items, list) else [])):
        if not isinstance(words, dict):
            continue
        labels, metadata = words.get("addLabels"), words.get("metadata")
        if isinstance(labels, list) and labels and all(is_plain(label) for label in labels):
            words["addLabels"] = ["express"]
        # Not every month has every day.
        if re.fullmatch("20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])", str(words.get("shipDate"))):
            words["shipDate"] = "2026-11-30"
        extra = words.get("extra")
        if isinstance(extra, dict) and extra and all(is_name(name) and is_plain(extra[name]) for name in extra):
            words["extra"] = {"phone": "1"}
        if isinstance(metadata, dict) and len(metadata) > 3:
            words["metadata"] = dict(list(metadata.items())[:3])
    return body
