"""A service that keeps its sessions with sanic-cookies in Redis, and handles requests from the standard input.

    sanic_service.py URL

Each line of the input is a request, as JSON: `do`, and the `cookie` that the browser sent, if it did. The answer is a
line of JSON: `values` of the session and its `id` after the request; or `error`.

The sessions are those of the library, and so is every byte that goes to Redis. Only the web framework is made up: the
library was written for one of 2020.
"""

import asyncio
import json
import sys
import warnings

import redis.asyncio
import sanic.exceptions

# What the library imports, and what newer frameworks have no more.
sanic.exceptions.abort = None

from sanic_cookies import Aioredis, AuthSession  # noqa: E402

NAME = "session"


class App:
    def register_middleware(self, middleware, attach_to):
        pass


class Request(dict):
    def __init__(self, cookie):
        super().__init__()
        self.cookies = {"COOKIE": cookie} if cookie else {}


class Service:
    def __init__(self, url):
        interface = Aioredis(redis.asyncio.Redis.from_url(url))
        self.sessions = AuthSession(App(), interface, cookie_name="COOKIE", session_name=NAME)
        self.begun = None

    async def handle(self, order):
        if order["do"] == "end":
            request, self.begun = self.begun, None
            await request[NAME].__aexit__()
            return await self.answer(request)
        request = Request(order.get("cookie"))
        await self.sessions._open_sess(request)
        match order["do"]:
            case "write":
                async with request[NAME] as session:
                    session.update(order["values"])
            case "begin":
                session = await request[NAME].__aenter__()
                session.update(order["values"])
                self.begun = request
                return {"values": dict(session), "id": session.sid}
            case "login":
                await self.sessions.login_user(request, order["user"], duration=order["seconds"])
            case "logout":
                await self.sessions.logout_user(request)
        return await self.answer(request)

    async def answer(self, request):
        async with request[NAME] as session:
            values = dict(session)
        await self.sessions._close_sess(request, None)
        return {"values": values, "id": request[NAME].sid}


async def main():
    _, url = sys.argv
    # The library warns of what it does itself.
    warnings.simplefilter("ignore")
    service = Service(url)
    lines = iter(sys.stdin.readline, "")
    while line := await asyncio.to_thread(next, lines, None):
        try:
            answer = await service.handle(json.loads(line))
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


asyncio.run(main())
