"""Takes and gives back a lock with somebody else's library, as told on the standard input.

    client.py LIBRARY NAME TTL_MS URL...

Each line of the input, `acquire` or `release`, is answered by one line: `acquired`, `busy`, `released`, or `error`
with what the library says.
"""

import logging
import sys


class RedisPy:
    """The lock that comes with redis-py: one node, under the name itself."""

    def __init__(self, name, ttl_ms, urls):
        import redis

        self.locks = [
            redis.Redis.from_url(url).lock(name, timeout=ttl_ms / 1000, blocking=False) for url in urls
        ]

    def acquire(self):
        return all_or_nothing(self.locks, lambda lock: lock.acquire(), lambda lock: lock.release())

    def release(self):
        for lock in self.locks:
            lock.release()


class PythonRedisLock:
    """python-redis-lock: one node, under `lock:` and the name."""

    def __init__(self, name, ttl_ms, urls):
        import redis
        import redis_lock

        # It knows whole seconds only.
        self.locks = [
            redis_lock.Lock(redis.StrictRedis.from_url(url), name, expire=max(1, ttl_ms // 1000)) for url in urls
        ]

    def acquire(self):
        return all_or_nothing(self.locks, lambda lock: lock.acquire(blocking=False), lambda lock: lock.release())

    def release(self):
        for lock in self.locks:
            lock.release()


def all_or_nothing(locks, acquire, release):
    """A lock on one node for each of several nodes."""
    acquired = []
    for lock in locks:
        if not acquire(lock):
            for other in acquired:
                release(other)
            return False
        acquired.append(lock)
    return True


class RedlockPy:
    """redlock-py: a quorum, under the name itself."""

    def __init__(self, name, ttl_ms, urls):
        import redlock

        self.name, self.ttl_ms, self.lock = name, ttl_ms, None
        self.manager = redlock.Redlock(urls, retry_count=1, retry_delay=0.01)

    def acquire(self):
        self.lock = self.manager.lock(self.name, self.ttl_ms)
        return bool(self.lock)

    def release(self):
        self.manager.unlock(self.lock)


class RedlockNg:
    """redlock-ng: a quorum, under the name itself."""

    def __init__(self, name, ttl_ms, urls):
        import redlock

        self.name, self.ttl_ms, self.lock = name, ttl_ms, None
        # Its default of 100 ms is short for a machine under test.
        config = redlock.RedlockConfig(masters=urls, socket_timeout=5, socket_connect_timeout=5)
        self.manager = redlock.Redlock(config, retry_count=0, retry_delay_min=0, retry_delay_max=0.01)

    def acquire(self):
        self.lock = self.manager.acquire(self.name, self.ttl_ms)
        return self.lock is not None

    def release(self):
        self.manager.release(self.lock)


class Pottery:
    """pottery: a quorum, under `redlock:` and the name."""

    def __init__(self, name, ttl_ms, urls):
        import pottery
        import redis

        nodes = {redis.Redis.from_url(url) for url in urls}
        self.lock = pottery.Redlock(key=name, masters=nodes, auto_release_time=ttl_ms / 1000)

    def acquire(self):
        return self.lock.acquire(blocking=False)

    def release(self):
        self.lock.release()


LIBRARIES = {
    "redis-py": RedisPy,
    "python-redis-lock": PythonRedisLock,
    "redlock-py": RedlockPy,
    "redlock-ng": RedlockNg,
    "pottery": Pottery,
}


def answer(client, word):
    try:
        if word == "acquire":
            return "acquired" if client.acquire() else "busy"
        client.release()
        return "released"
    except Exception as error:
        return " ".join(f"error {type(error).__name__}: {error}".split())


def main():
    _, library, name, ttl_ms, *urls = sys.argv
    # A lock that is taken is no event worth a line.
    logging.disable(logging.WARNING)
    client = LIBRARIES[library](name, int(ttl_ms), urls)
    for line in sys.stdin:
        print(answer(client, line.strip()), flush=True)


main()
