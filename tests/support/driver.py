"""A worker in this process: it takes messages off the broker and runs them as Celery does."""

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import redis
from celery import Celery
from celery.app.trace import build_tracer

__all__ = ["Driver"]


@dataclass
class Driver:
    """Runs the messages of one queue, each at once, including those that are due later."""

    app: Celery
    #: Everything that was ever on the broker, as Redis stored it, with its bodies decoded.
    seen: list[bytes] = field(default_factory=list)
    #: What the tasks returned, as Celery logs it.
    results: list[str] = field(default_factory=list)

    def run_all(self, *, limit: int = 200) -> None:
        """Run messages until none is left."""
        for _ in range(limit):
            if not self.run_one():
                return
        raise AssertionError(f"{limit} messages were run, and there are more.")

    def run_one(self) -> bool:
        """Run the next message; return False if there is none."""
        self._look()
        queue = self.app.conf.task_default_queue
        with self.app.connection_for_read() as connection, connection.SimpleQueue(queue) as waiting:
            try:
                message = waiting.get(block=False)
            except waiting.Empty:
                return False
            message.ack()
        self.run(message.headers, message.payload)
        return True

    def run(self, headers: dict[str, Any], body: Any) -> None:
        """Run one message from any sender."""
        args, kwargs, embed = body
        task = self.app.tasks[headers["task"]]
        request = {**headers, **(embed or {}), "args": args, "kwargs": kwargs}
        request |= {"is_eager": False, "delivery_info": {}, "called_directly": False}
        trace = build_tracer(task.name, task, app=self.app)
        self.results.append(str(trace(headers["id"], args, kwargs, request).retval))

    def send(self, task: str, *args: Any, **headers: Any) -> str:
        """Run a message as anyone could send it; return its result."""
        self.run({"id": "forged", "task": task, **headers}, (list(args), {}, {}))
        return self.results[-1]

    def _look(self) -> None:
        url = str(self.app.conf.broker_url)
        if not url.startswith("redis"):
            return
        with redis.Redis.from_url(url) as client:
            for name in client.keys("*"):
                match client.type(name):
                    case b"list":
                        for raw in client.lrange(name, 0, -1):
                            self.seen += [raw, base64.b64decode(json.loads(raw)["body"])]
                    case b"hash":
                        self.seen += client.hvals(name)
                    case _:
                        continue
