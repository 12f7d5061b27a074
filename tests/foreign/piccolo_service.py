"""A service that keeps its sessions with piccolo_api in PostgreSQL, and does what the standard input says.

    piccolo_service.py URL ZONE

ZONE is the time zone of the machine that the service pretends to be on. Each line of the input is an order, as JSON, and
each answer a line of JSON: what piccolo_api returned, or `error`.
"""

import asyncio
import json
import os
import sys
import time
from datetime import timedelta

_, url, zone = sys.argv
os.environ["TZ"] = zone
time.tzset()

from piccolo.engine.postgres import PostgresEngine  # noqa: E402
from piccolo_api.session_auth.tables import SessionsBase  # noqa: E402

SessionsBase._meta._db = PostgresEngine(config={"dsn": url})


async def handle(order):
    match order["do"]:
        case "make table":
            await SessionsBase.create_table()
        case "create":
            return (await SessionsBase.create_session(order["user"])).token
        case "get":
            increase = order.get("increase")
            increase = timedelta(seconds=increase) if increase else None
            return await SessionsBase.get_user_id(order["token"], increase)
        case "remove":
            await SessionsBase.remove_session(order["token"])


async def main():
    for line in sys.stdin:
        try:
            answer = {"answer": await handle(json.loads(line))}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


asyncio.run(main())
