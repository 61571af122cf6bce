"""The peer: aiosmtpd as it comes, with a handler that stores nothing."""

import asyncio
import sys

from aiosmtpd.smtp import SMTP, Envelope, Session


class Discards:
    async def handle_DATA(self, _: SMTP, __: Session, ___: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        return "250 OK"


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Discards(), data_size_limit=64 * 1024 * 1024, hostname="localhost"), "127.0.0.1", port
    )
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
