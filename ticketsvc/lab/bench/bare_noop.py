"""The least that aiohttp can do: a constant answer to `POST /purchase`, in a process of its own.

It has no middleware, reads no body, and keeps no log and no counters. Its throughput is what any
handler on aiohttp and uvloop could reach at most.
"""

import asyncio
import json

from aiohttp import web

from ticketsvc.service.event_loop import new_event_loop
from ticketsvc.service.stopping import stop_requests

_ANSWER = json.dumps({"success": True, "tickets": list(range(1, 9))}).encode()


async def purchase(_: web.Request) -> web.Response:
    """Return the same answer to every purchase."""
    return web.Response(body=_ANSWER, content_type="application/json")


async def serve() -> None:
    """Listen on a free port, print the address as JSON, and end with standard input."""
    app = web.Application()
    app.router.add_post("/purchase", purchase)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    stop = stop_requests(end_with_input=True)
    print(json.dumps({"url": f"http://{host}:{port}"}), flush=True)
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_event_loop) as loop:
        loop.run(serve())
