"""A service that keeps its sessions with sanic-cookies in PostgreSQL, and does what the standard input says.

    gino_service.py URL

Each line of the input is an order, as JSON, and each answer a line of JSON: what sanic-cookies returned, or `error`.

Every statement is the library's own. Only Gino is made up, which has not been kept up: it hands statements to asyncpg.
"""

import asyncio
import json
import sys

import asyncpg
import sanic.exceptions

# What the library imports, and what newer frameworks have no more.
sanic.exceptions.abort = None

from sanic_cookies import GinoAsyncPG  # noqa: E402


class Gino:
    def __init__(self, connection):
        self.connection = connection

    async def scalar(self, statement, *args):
        return await self.connection.fetchval(statement, *args)


async def handle(interface, order):
    match order["do"]:
        case "new":
            return interface.sid_factory()
        case "read":
            return await interface.fetch(order["sid"])
        case "write":
            await interface.store(order["sid"], order["expiry"], order["values"])
        case "delete":
            await interface.delete(order["sid"])


async def main():
    _, url = sys.argv
    connection = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
    interface = GinoAsyncPG(Gino(connection))
    for line in sys.stdin:
        try:
            answer = {"answer": await handle(interface, json.loads(line))}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


asyncio.run(main())
