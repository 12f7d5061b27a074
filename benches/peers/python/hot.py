"""One of the processes that want the same record, with a lock of somebody else's library.

    hot.py LIBRARY URL KEY

Says `ready`, reads its pace as one line of JSON, lets that many threads take turns, and prints what came of it as one
line of JSON. A turn: lock, GET, work, add 1 to the first eight bytes, SET, unlock.
"""

import json
import sys
import threading
import time

import redis
import redis_lock

TTL = 10


class RedisPy:
    """The lock that comes with redis-py, with its defaults: it looks every 0.1 s."""

    def __init__(self, client, name):
        self.lock = client.lock(name, timeout=TTL)

    def acquire(self):
        return self.lock.acquire()

    def release(self):
        self.lock.release()


class PythonRedisLock:
    """python-redis-lock, with its defaults: whoever releases wakes one who waits."""

    def __init__(self, client, name):
        self.lock = redis_lock.Lock(client, name, expire=TTL)

    def acquire(self):
        return self.lock.acquire()

    def release(self):
        self.lock.release()


LIBRARIES = {"redis-py": RedisPy, "python-redis-lock": PythonRedisLock}


class Task(threading.Thread):
    def __init__(self, library, client, key, pace, start):
        super().__init__()
        self.library, self.client, self.key = library, client, key
        self.pace, self.start_time = pace, start
        self.turns, self.waits_us, self.added = 0, [], 0
        self.failure = None

    def run(self):
        try:
            self.take_turns()
        except Exception as failure:
            self.failure = failure

    def take_turns(self):
        begin = self.start_time + self.pace["warm_up_ms"] / 1e3
        end = begin + self.pace["measure_ms"] / 1e3
        while (asked := time.monotonic()) < end:
            wait = self.turn()
            self.added += 1
            self.turns += begin <= time.monotonic() < end
            if asked >= begin:
                self.waits_us.append(wait * 1e6)
            pause(self.pace["think_us"])

    def turn(self):
        lock = self.library(self.client, self.key + ":lock")
        asked = time.monotonic()
        if not lock.acquire():
            raise RuntimeError("the lock was not acquired")
        waited = time.monotonic() - asked
        record = self.client.get(self.key)
        pause(self.pace["work_us"])
        count = int.from_bytes(record[:8], "big") + 1
        self.client.set(self.key, count.to_bytes(8, "big") + record[8:])
        lock.release()
        return waited


def pause(time_us):
    if time_us:
        time.sleep(time_us / 1e6)


def main():
    library, url, key = sys.argv[1:]
    client = redis.Redis.from_url(url)
    client.ping()
    print("ready", flush=True)
    pace = json.loads(sys.stdin.readline())
    start, cpu = time.monotonic(), time.process_time()
    tasks = [Task(LIBRARIES[library], client, key, pace, start) for _ in range(pace["tasks"])]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()
    for task in tasks:
        if task.failure:
            raise task.failure
    told = {
        "turns": [task.turns for task in tasks],
        "waits_us": [wait for task in tasks for wait in task.waits_us],
        "added": sum(task.added for task in tasks),
        "cpu_us": int((time.process_time() - cpu) * 1e6),
    }
    print(json.dumps(told), flush=True)


main()
