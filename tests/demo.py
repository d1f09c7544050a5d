"""Starts `trackbox all --demo` as a user does, and checks it from outside, by HTTP only.

1. /readyz answers 200 soon after the start (the time is printed).
2. A client according to the wire contract seeds the emulator, creates trackings with both spellings of the fields, pages
   through events, and refreshes.
3. Every parcel arrives within three minutes and equals the emulator's truth. The ledger shows no call beyond a limit.
4. SIGTERM ends the process with exit code 0 within its grace time.
5. The examples of the README are answered with 200.
6. A race of two policies (--speed) makes about as many calls for each, none beyond a limit, and shows which is ahead.

Usage: demo.py PATH-TO-TRACKBOX
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
from ports import free_port  # noqa: E402

PARCELS = 200
ARRIVE_WITHIN_S = 180
RACE_S = 25
TERMINAL = {"DELIVERED", "RETURNED", "CANCELLED", "EXPIRED"}


def call(method, url, body=None, headers=None):
    """Sends `body` as JSON, or as it is if it is bytes. Returns (status, JSON)."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def check(condition, what):
    if not condition:
        raise SystemExit(f"FAILED: {what}")


def wait_ready(api, process, began):
    while True:
        check(process.poll() is None, "the process ended by itself")
        try:
            status, _ = call("GET", f"{api}/readyz")
            if status == 200:
                return time.monotonic() - began
        except (urllib.error.URLError, ConnectionError):
            pass
        check(time.monotonic() - began < 30, "/readyz did not answer 200 within 30 s")
        time.sleep(0.005)


def client(api, emulator):
    """Does what a client of the original does, relying only on the wire contract."""
    number = "1234567890"
    steps = [
        {"status": "IN_TRANSIT", "statusRaw": "ACCEPTED", "location": "Moscow", "message": "accepted"},
        {"status": "DELIVERED", "statusRaw": "DELIVERED", "location": "Omsk", "message": "delivered"},
    ]
    item = {"carrier": "CDEK", "trackNumber": number, "stepSeconds": 1, "progressProb": 0.2, "steps": steps}
    status, answer = call("POST", f"{emulator}/v1/admin/seed-v1", {"items": [item]})
    check((status, answer) == (200, {"status": "ok", "count": 1}), f"seed-v1 answered {status} {answer}")

    pair = {"carrierCode": "CDEK", "trackNumber": number}
    snake = {"carrier_code": "CDEK", "track_number": number, "unknown_field": 1}
    status, answer = call("POST", f"{api}/trackings", {"items": [pair, snake]}, {"Content-Type": "text/plain"})
    check(status == 200 and len(answer["trackings"]) == 1, f"create answered {status} {answer}")
    tracking = answer["trackings"][0]
    check(isinstance(tracking["id"], str) and tracking["nextCheckAt"].endswith("Z"), f"a tracking is {tracking}")
    again = call("POST", f"{api}/trackings", {"items": [pair]})[1]["trackings"][0]
    check(again["id"] == tracking["id"], "creating twice made two")

    ids = [tracking["id"], int(tracking["id"]), "999999999999"]
    deadline = time.monotonic() + 60
    while True:
        status, answer = call("POST", f"{api}/trackings/get-by-ids", {"ids": ids})
        check(status == 200 and len(answer["trackings"]) == 2, f"get-by-ids answered {status} {answer}")
        if answer["trackings"][0]["status"] == "DELIVERED":
            break
        check(time.monotonic() < deadline, f"not delivered within 60 s: {answer}")
        time.sleep(0.2)
    check(call("POST", f"{api}/trackings/get-by-ids", {})[1] == {"trackings": []}, "no ids give no trackings")

    status, answer = call("GET", f"{api}/trackings/{tracking['id']}/events?limit=1&offset=0")
    check(status == 200 and len(answer["events"]) == 1, f"events answered {status} {answer}")
    check(answer["events"][0]["statusRaw"] == "DELIVERED", "the newest event comes first")
    check(call("GET", f"{api}/trackings/99999999/events")[0] == 404, "events of an unknown tracking")
    check(call("POST", f"{api}/trackings/{tracking['id']}/refresh", b"what?") == (200, {}), "a refresh")
    check(call("POST", f"{api}/trackings/99999999/refresh")[0] == 404, "a refresh of an unknown tracking")
    for path in ("/swagger.json", "/healthz"):
        check(call("GET", api + path)[0] == 200, path)


def readme_examples(api):
    """Sends every request that the README shows as a curl command."""
    readme = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "README.md")
    with open(readme, encoding="utf-8") as text:
        commands = [shlex.split(line) for line in text if line.startswith("curl ")]
    check(len(commands) >= 5, f"the README has {len(commands)} examples")
    for _, *words in commands:
        method, body, url = None, None, None
        while words:
            word = words.pop(0)
            if word == "-X":
                method = words.pop(0)
            elif word == "-d":
                body = words.pop(0).encode()
            elif word != "-s":
                url = word.replace("localhost:8080", api)
        status, answer = call(method or ("POST" if body else "GET"), url, body)
        check(status == 200, f"the README's {url} answered {status} {answer}")


def all_trackings(api, wanted):
    # Ids may have gaps: creating a tracking that exists skips one.
    ids = list(range(1, 2 * wanted))
    return call("POST", f"{api}/trackings/get-by-ids", {"ids": ids})[1]["trackings"]


def all_events(api, tracking):
    events, offset = [], 0
    while True:
        page = call("GET", f"{api}/trackings/{tracking['id']}/events?limit=500&offset={offset}")[1]["events"]
        events += page
        offset += len(page)
        if len(page) < 500:
            return events


def key(time_text, raw, location, message):
    # Both write RFC 3339 with Z, but with fractions of different lengths.
    whole, _, fraction = time_text.rstrip("Z").partition(".")
    return (whole, fraction.rstrip("0"), raw, location or "", message or "")


def judge(api, emulator, trackings):
    for tracking in trackings:
        number = tracking["trackNumber"]
        truth = call("GET", f"{emulator}/v1/admin/truth/{tracking['carrierCode']}/{number}")[1]
        ours = (tracking["status"], tracking["statusRaw"])
        check(ours == (truth["status"], truth["statusRaw"]), f"{number}: {ours} is not the truth {truth}")
        mine = {key(e["eventTime"], e["statusRaw"], e["location"], e["message"]) for e in all_events(api, tracking)}
        true = {key(e["event_time"], e["status_raw"], e.get("location"), e.get("message")) for e in truth["events"]}
        check(mine == true, f"{number}: events differ: {sorted(mine ^ true)}")
    for carrier, ledger in call("GET", f"{emulator}/v1/admin/ledger")[1]["carriers"].items():
        check(ledger["overMinute"] == 0 and ledger["overSliding"] == 0, f"too many calls at {carrier}: {ledger}")
        print(f"ledger {carrier}: {ledger}")


class Demo:
    """A `trackbox all --demo` with its own ports and folder. If a check fails, its log is printed."""

    def __init__(self, trackbox, *arguments):
        self.command = [os.path.abspath(trackbox), "all", "--demo", *arguments]
        ports = [free_port() for _ in range(4)]
        self.api, self.emulator = f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[3]}"
        names = ["HTTP__LISTEN", "WORK__LISTEN", "CONSUME__LISTEN", "DEMO__EMULATOR_LISTEN"]
        self.variables = {f"TRACKBOX_{name}": f"127.0.0.1:{port}" for name, port in zip(names, ports)}

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.log = open(os.path.join(self.folder.name, "log"), "wb")
        environment = {**os.environ, **self.variables}
        self.began = time.monotonic()
        self.process = subprocess.Popen(self.command, cwd=self.folder.name, env=environment, stderr=self.log)
        return self

    def logged(self):
        with open(self.log.name, errors="replace") as text:
            return text.read()

    def wait_ready(self):
        took = wait_ready(self.api, self.process, self.began)
        print(f"/readyz answered 200 after {took * 1000:.0f} ms")

    def stop(self):
        stopping = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=15)
        check(code == 0, f"SIGTERM ended it with {code}")
        print(f"stopped with 0 after {(time.monotonic() - stopping) * 1000:.0f} ms")

    def __exit__(self, kind, *_):
        if kind is not None:
            sys.stderr.write(self.logged()[-8000:])
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.folder.cleanup()


def travel(trackbox):
    with Demo(trackbox, "--parcels", str(PARCELS)) as demo:
        demo.wait_ready()
        client(demo.api, demo.emulator)
        while True:
            trackings = all_trackings(demo.api, PARCELS + 1)
            done = sum(tracking["status"] in TERMINAL for tracking in trackings)
            if done == PARCELS + 1:
                break
            elapsed = time.monotonic() - demo.began
            check(elapsed < ARRIVE_WITHIN_S, f"{done} of {PARCELS + 1} arrived within {ARRIVE_WITHIN_S} s")
            time.sleep(0.5)
        print(f"all {PARCELS + 1} parcels arrived after {time.monotonic() - demo.began:.0f} s")
        judge(demo.api, demo.emulator, trackings)
        readme_examples(demo.api)
        check("no key is needed at http.listen" in demo.logged(), "the start does not warn of the open port")
        demo.stop()


def race(trackbox):
    with Demo(trackbox, "--speed", "1440", "--parcels", "360") as demo:
        demo.wait_ready()
        time.sleep(RACE_S)
        ledgers = call("GET", f"{demo.emulator}/v1/admin/ledger")[1]["carriers"]
        fixed, learned = ledgers["FIXED"]["calls"], ledgers["LEARNED"]["calls"]
        for carrier, ledger in ledgers.items():
            over = ledger["overMinute"] + ledger["overSliding"] + ledger["limited"]
            check(over == 0, f"too many calls at {carrier}: {ledger}")
        # Two calls a minute on a clock that runs 1,440 times as fast: 48 a second.
        check(fixed > RACE_S * 30, f"only {fixed} calls")
        check(abs(fixed - learned) < 0.1 * fixed, f"{fixed} calls for fixed and {learned} for learned")
        check("times as fresh" in demo.logged(), "no standings were shown")
        _, found = call("POST", f"{demo.api}/trackings/get-by-ids", {"ids": list(range(1, 700))})
        of_learned = next(it["id"] for it in found["trackings"] if it["carrierCode"] == "LEARNED")
        _, schedule = call("GET", f"{demo.api}/trackings/{of_learned}/schedule")
        check(schedule["policy"] == "learned" and schedule["text"], f"no schedule: {schedule}")
        _, budget = call("GET", f"{demo.api}/carriers/LEARNED/budget")
        check(budget["parcels"] > 200 and budget["price"]["now"] > 0.01, f"no budget: {budget}")
        print(f"the race: {fixed} calls for fixed, {learned} for learned in {RACE_S} s")
        demo.stop()


def main(trackbox):
    travel(trackbox)
    race(trackbox)
    print("the demo works as promised")


if __name__ == "__main__":
    main(sys.argv[1])
