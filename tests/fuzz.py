"""Sends generated requests, right ones and wrong ones, to every operation of the OpenAPI document, with a key, and checks
each answer by the document: no error of the server, no status, header or body that the document does not tell, no wrong
request that is taken, no right one that is refused.

What is generated is the same each time. tests/fuzz_hooks.py says what is left out, and why.

Usage: fuzz.py PATH-TO-TRACKBOX PATH-TO-SCHEMATHESIS [MORE-OPTIONS]
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tools"))
from ports import free_port  # noqa: E402

# Of each operation and phase.
EXAMPLES = 40
# Beyond this, there is a failure anyway.
FAILURES_MAX = 50
PARCELS = 30


def main(program, schemathesis, *more):
    program, schemathesis = os.path.abspath(program), os.path.abspath(schemathesis)
    with tempfile.TemporaryDirectory() as folder:
        address = f"127.0.0.1:{free_port()}"
        variables = {name: value for name, value in os.environ.items() if not name.startswith("TRACKBOX_")}
        variables |= {
            "TRACKBOX_STORE__URL": f"sqlite://{folder}/trackbox.db",
            "TRACKBOX_HTTP__LISTEN": address,
            "TRACKBOX_WORK__LISTEN": f"127.0.0.1:{free_port()}",
            "TRACKBOX_CONSUME__LISTEN": f"127.0.0.1:{free_port()}",
            # There is no such carrier: requests are what is tried here.
            "TRACKBOX_CARRIERS__DEFAULT__BASE_URL": "http://127.0.0.1:9",
            # Requests come as from many clients.
            "TRACKBOX_HTTP__TRUSTED_PROXIES": "127.0.0.1",
            "TRACKBOX_HTTP__FLOOD_PER_SECOND": "100000",
            "TRACKBOX_HTTP__FLOOD_BURST": "100000",
        }
        create = [program, "keys", "create", "--tenant", "default", "--name", "fuzz", "--scope", "ADMIN", "--operator"]
        made = subprocess.run(create, cwd=folder, env=variables, stdout=subprocess.PIPE, check=True, text=True)
        key = made.stdout.strip()
        log = open(f"{folder}/log", "w+", encoding="utf-8")
        trackbox = subprocess.Popen([program, "all"], cwd=folder, env=variables, stdout=log, stderr=log)
        try:
            wait_ready(f"http://{address}", trackbox, log)
            seed(f"http://{address}", key)
            command = [
                schemathesis, "run", f"http://{address}/swagger.json", "--checks", "all",
                "--max-examples", str(EXAMPLES), "--max-failures", str(FAILURES_MAX), "--generation-deterministic",
                "--generation-with-security-parameters", "false", "--header", f"Authorization: Bearer {key}",
                "--request-timeout", "10", "--no-color", *more,
            ]
            hooks = {"SCHEMATHESIS_HOOKS": "fuzz_hooks", "PYTHONPATH": str(HERE), "FUZZ_OWN_KEY": "1"}
            tried = subprocess.run(command, cwd=folder, env=variables | hooks)
            if trackbox.poll() is not None:
                log.seek(0)
                raise SystemExit(f"FAILED: trackbox ended with {trackbox.returncode}\n{log.read()[-5000:]}")
        finally:
            trackbox.send_signal(signal.SIGTERM)
            trackbox.wait(timeout=20)
        sys.exit(tried.returncode)


def wait_ready(api, process, log):
    began = time.monotonic()
    while time.monotonic() - began < 30 and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{api}/readyz", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    log.seek(0)
    raise SystemExit(f"FAILED: trackbox is not ready\n{log.read()[-5000:]}")


def seed(api, key):
    """Ids that exist: a generated number is often one of them."""
    items = [{"carrierCode": "CDEK", "trackNumber": f"N{n}", "orderId": f"O{n}"} for n in range(PARCELS)]
    body = json.dumps({"items": items}).encode()
    request = urllib.request.Request(f"{api}/trackings", data=body, headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert len(json.load(answer)["trackings"]) == PARCELS


if __name__ == "__main__":
    main(*sys.argv[1:])
