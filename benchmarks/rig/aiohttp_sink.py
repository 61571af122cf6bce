"""A receiver as people write them: an aiohttp server that reads the body and answers 204."""

import asyncio
import sys

from aiohttp import web


async def receive(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(status=204)


async def main(port: int) -> None:
    app = web.Application()
    app.router.add_post("/{path:.*}", receive)
    app.router.add_get("/arrivals", lambda _: asyncio.sleep(0, web.json_response({})))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
