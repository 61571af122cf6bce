"""The bare peer: an aiohttp loop that posts bodies of the same size with the same headers, and does nothing else."""

import asyncio
import json
import sys
import time

import aiohttp

AT_ONCE = 100


async def post_all(url: str, count: int) -> dict[str, float]:
    """Seconds, of the clock and of the processor, for that many requests, AT_ONCE at once, each signed as ours are."""
    import django

    django.setup()
    from benchmarks.rig.rows import BODY
    from webhooks import signing

    left = iter(range(count))

    async def work(session: aiohttp.ClientSession) -> None:
        for number in left:
            headers = signing.headers(
                event_id=f"evt_{number}",
                timestamp=int(time.time()),
                attempt=1,
                body=BODY,
                secrets=["whsec_" + "A" * 32],
                version="0",
            )
            async with session.post(url, data=BODY, headers=headers) as answer:
                await answer.read()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session:
        started, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(work(session) for _ in range(AT_ONCE)))
        return {"seconds": time.perf_counter() - started, "cpu_s": time.process_time() - cpu}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(post_all(sys.argv[1], int(sys.argv[2])))))
