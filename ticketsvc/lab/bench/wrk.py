"""Fire with wrk: a script of ours counts the 2xx, since only those are sales."""

import json
import math
import secrets
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from ticketsvc.errors import UsageError
from ticketsvc.lab.bench.figures import Fired
from ticketsvc.lab.bench.load_spec import KEY_PLACE, Shot

_ANSWER_PATIENCE_S = 30
_END_PATIENCE_S = 60
_MARK = "ticketsvc-bench "

# Requests are made once, before the clock starts, all but their keys. A number that each wrk thread
# keeps is fetched by the one that sums up.
_SCRIPT = """
local bodies = {
%s
}
local keyed, seed = %s, %d
local requests, number, threads = {}, 0, {}
sold = 0

function setup(thread) table.insert(threads, thread) end

function init(arguments)
  math.randomseed(seed)
  local headers = { ["Content-Type"] = "application/json" }
  if keyed then headers["Idempotency-Key"] = "%s" end
  for index, body in ipairs(bodies) do
    local whole = wrk.format("POST", nil, headers, body)
    local from, to = string.find(whole, "%s", 1, true)
    requests[index] = { whole, from and whole:sub(1, from - 1), to and whole:sub(to + 1) }
  end
end

function request()
  number = number %% #requests + 1
  local whole, before, after = unpack(requests[number])
  if not keyed then return whole end
  -- As scattered as UUIDs are: keys in sequence would be easier on the index than real ones.
  return before .. string.format("%%08x-%%08x-%%08x-%%08x", math.random(0, 0x7fffffff),
    math.random(0, 0x7fffffff), math.random(0, 0x7fffffff), math.random(0, 0x7fffffff)) .. after
end

function response(status)
  if status >= 200 and status < 300 then sold = sold + 1 end
end

function done(summary, latency, _)
  local all = 0
  for _, thread in ipairs(threads) do all = all + thread:get("sold") end
  local errors = summary.errors
  io.write(string.format(
    '%s{"sold":%%d,"requests":%%d,"duration_us":%%d,"failed":%%d,"lost":%%d,' ..
    '"p50_us":%%d,"p95_us":%%d,"p99_us":%%d}\\n',
    all, summary.requests, summary.duration, errors.connect,
    errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(95), latency:percentile(99)))
end
"""


def fire(program: str, shot: Shot) -> Fired:
    """Run wrk with one thread, in whole seconds. Raise `UsageError` with its words if it fails.

    It hangs up at the end, with a request in flight on each connection. Its latencies are those
    of all answers.
    """
    with tempfile.TemporaryDirectory(prefix="ticketsvc-wrk-") as folder:
        script = Path(folder, "purchase.lua")
        script.write_text(script_for(shot))
        seconds = max(1, math.ceil(shot.seconds))
        command = [program, "-t1", f"-c{shot.connections}", f"-d{seconds}s"]
        command += [f"--timeout={_ANSWER_PATIENCE_S}s", f"-s{script}", shot.url]
        finished = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + _END_PATIENCE_S,
        )
    for line in finished.stdout.splitlines():
        if line.startswith(_MARK):
            return read_summary(json.loads(line.removeprefix(_MARK)), shot.connections)
    words = (finished.stderr or finished.stdout).strip().splitlines() or ["no reason given"]
    raise UsageError(f"wrk failed: {words[-1]}")


def script_for(shot: Shot) -> str:
    """Return the Lua script that posts *shot*'s purchases."""
    # JSON's text is Lua's too but for escapes beyond ASCII; the long brackets take none.
    bodies = ",\n".join(f"[==[{body}]==]" for body in shot.bodies())
    keyed = "true" if shot.keys else "false"
    return _SCRIPT % (bodies, keyed, secrets.randbits(31), KEY_PLACE, KEY_PLACE, _MARK)


def read_summary(told: dict[str, Any], connections: int) -> Fired:
    """Return what wrk counted as `Fired`."""
    sold = int(told["sold"])
    latencies: dict[str, Any] = {
        f"p{share}_ms": told[f"p{share}_us"] / 1000 if sold else None for share in (50, 95, 99)
    }
    return Fired(
        sold=sold,
        seconds=told["duration_us"] / 1e6,
        refused=told["requests"] - sold,
        failed=told["failed"],
        in_flight=connections + told["lost"],
        **latencies,
    )
