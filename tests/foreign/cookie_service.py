"""Reads and writes cookies with cryptography, sanic-cookies, PyJWT and microdot, as told on the standard input.

    cookie_service.py

Each line of the input is an order, as JSON: `with` a library, what to `do`, a `key`, and a `cookie` or `values`. The
answer is a line of JSON: `values` that were read, and the `cookie` that is to be carried from now on; or `error`.

microdot handles a request of its test client, with the cookie and by a handler as in its documentation.
"""

import asyncio
import json
import sys
import warnings

import jwt
import sanic.exceptions
from cryptography.fernet import Fernet, MultiFernet
from microdot import Microdot
from microdot.session import Session, with_session
from microdot.test_client import TestClient

# What the library imports, and what newer frameworks have no more.
sanic.exceptions.abort = None

from sanic_cookies import InCookieEncrypted  # noqa: E402


def fernet(order):
    keys = MultiFernet([Fernet(key) for key in order["key"].split()])
    if order["do"] == "write":
        text = json.dumps(order["values"]).encode()
        return {"cookie": keys.encrypt_at_time(text, order["at"]).decode()}
    return {"values": json.loads(keys.decrypt(order["cookie"], ttl=order["ttl"]))}


def sanic_cookies(order):
    interface = InCookieEncrypted(order["key"])
    if order["do"] == "write":
        return {"cookie": interface._encrypt(order["values"])}
    values = interface._decrypt(order["cookie"], order["ttl"])
    return {"values": values, "cookie": interface._encrypt(values)}


def pyjwt(order):
    if order["do"] == "write":
        algorithm = order.get("algorithm", "HS256")
        key = None if algorithm == "none" else order["key"]
        return {"cookie": jwt.encode(order["values"], key, algorithm=algorithm)}
    return {"values": jwt.decode(order["cookie"], order["key"], algorithms=["HS256"])}


async def microdot(order):
    app = Microdot()
    Session(app, secret_key=order["key"])
    seen = {}

    @app.post("/write")
    @with_session
    async def write(request, session):
        session.update(request.json)
        session.save()
        seen.update(session)

    @app.get("/read")
    @with_session
    async def read(request, session):
        seen.update(session)

    @app.post("/delete")
    @with_session
    async def delete(request, session):
        session.delete()

    cookies = {"session": order["cookie"]} if order.get("cookie") else {}
    client = TestClient(app, cookies)
    match order["do"]:
        case "read":
            await client.get("/read")
        case "write":
            await client.post("/write", body=order["values"])
        case "delete":
            await client.post("/delete")
    cookie = client.cookies.get("session")
    return {"values": seen, "cookie": cookie[0] if isinstance(cookie, tuple) else cookie}


LIBRARIES = {"fernet": fernet, "sanic-cookies": sanic_cookies, "pyjwt": pyjwt}


async def main():
    # PyJWT warns of short keys, which the seed's own example has.
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        order = json.loads(line)
        try:
            if order["with"] == "microdot":
                answer = await microdot(order)
            else:
                answer = LIBRARIES[order["with"]](order)
        except Exception as error:
            answer = {"error": type(error).__name__}
        print(json.dumps(answer), flush=True)


asyncio.run(main())
