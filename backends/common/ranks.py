"""Several processes of one program on one machine: who is who, and starting them.

The launcher here is used in place of torchrun because it hands on exit codes and a request to stop, and
because its children end with it. A program started by torchrun finds its place just as well.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from watch import StopRequest

INSIDE = "FTSPEC_LAUNCHED"  # set for children of `launch_ranks`, whose parent holds the folder's lock
POLL_SECONDS = 0.05
GRACE_SECONDS = 20.0  # for the others to end by themselves after the first one failed
PATIENCE = timedelta(hours=6)  # one process may write a large model while the others wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """The place of this process among `size`. Size 1: every method does nothing."""

    rank: int
    size: int
    launched: bool  # a launcher named the place

    @classmethod
    def here(cls) -> "Ranks":
        environ = os.environ
        return cls(
            rank=int(environ.get("RANK", "0")),
            size=int(environ.get("WORLD_SIZE", "1")),
            launched="WORLD_SIZE" in environ,
        )

    def join(self) -> None:
        """Meet the others: torch.distributed by gloo, and by nccl for tensors on a GPU."""
        if self.size == 1:
            return
        from torch import cuda, distributed

        if not distributed.is_initialized():
            backend = "gloo"
            if cuda.is_available():
                cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
                backend = "cpu:gloo,cuda:nccl"
            distributed.init_process_group(backend, timeout=PATIENCE)

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            from torch import ones

            self.total(ones(1))  # an all-reduce on the CPU: nccl's barrier would need a device

    def total(self, values: Any) -> Any:
        """The sum of a CPU tensor over all processes, the same in each."""
        if self.size > 1:
            from torch import distributed

            distributed.all_reduce(values)
        return values

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes by rank, in each of them; anything that pickles."""
        if self.size == 1:
            return [value]
        from torch import distributed

        found: list[Any] = [None] * self.size
        distributed.all_gather_object(found, value)
        return found


def launch_ranks(count: int, command: Sequence[str], stop: StopRequest) -> int:
    """Run `command` in `count` processes; the exit code of the first that fails, else 0.

    A request to stop is handed on once. When one fails, the others get GRACE_SECONDS. They watch their
    standard input, so that they end when this process does, however that comes about.
    """
    port = _free_port()
    children = []
    for rank in range(count):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
        environment = {
            **os.environ,
            **{name: str(value) for name, value in place.items()},
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "FTSPEC_WATCH_STDIN": "1",
            INSIDE: "1",
        }
        # A session of its own: signals to this one's group come once, from here.
        children.append(
            subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, start_new_session=True)
        )
    try:
        return _await(children, stop)
    finally:
        for child in children:
            child.kill()
            child.wait()


def _await(children: Sequence["subprocess.Popen[bytes]"], stop: StopRequest) -> int:
    handed_on, failed, deadline = False, 0, float("inf")
    while True:
        codes = [child.poll() for child in children]
        failed = failed or next((code for code in codes if code), 0)
        if failed and deadline == float("inf"):
            deadline = time.monotonic() + GRACE_SECONDS
        if all(code is not None for code in codes) or time.monotonic() > deadline:
            return failed if failed >= 0 else 128 - failed
        if stop.asked and not handed_on:
            handed_on = True
            for child in children:
                if child.poll() is None:
                    child.send_signal(signal.SIGINT)
        time.sleep(POLL_SECONDS)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
