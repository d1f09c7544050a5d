"""How tests/fuzz.py sends what is generated, and what it leaves out, each with its reason."""

import os
import random
import uuid

import schemathesis

OWN_KEY = os.environ["FUZZ_OWN_KEY"]


@schemathesis.hook
def filter_case(context, case):
    # It would end the key that all requests are made with.
    own = str((case.path_parameters or {}).get("keyId", "")).strip() == OWN_KEY
    # With `partial`, items that are wrong are told in the answer: 200 is right.
    partial = isinstance(case.body, dict) and case.body.get("partial") is True
    # The wire contract reads [] as an object without fields.
    return not own and not partial and case.body != []


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


@schemathesis.hook
def map_body(context, body):
    if not isinstance(body, dict):
        return body
    # A key's end must be to come.
    if isinstance(body.get("expiresAt"), str):
        body["expiresAt"] = "2099-01-01T00:00:00Z"
    # A parcel has 20 labels and 50 keys at most, however many requests add some.
    for words in (body, body.get("set")):
        if not isinstance(words, dict):
            continue
        labels, metadata = words.get("addLabels"), words.get("metadata")
        if isinstance(labels, list) and labels and all(is_plain(label) for label in labels):
            words["addLabels"] = ["express"]
        if isinstance(metadata, dict) and len(metadata) > 3:
            words["metadata"] = dict(list(metadata.items())[:3])
    return body
