"""A process that runs replicas for ffpt_openmm.simulation: ``python -m ffpt_openmm.worker FOLDER THREADS``.

It reads indices of replicas from standard input, one a line, and answers on standard output with lines of JSON:
{"steps": n} for progress, then {"outcome": {...}} or {"error": "..."}. It ends with its parent: the end of
standard input, which even SIGKILL of the parent brings about, ends it at once; checkpoints make that harmless.
"""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import sys
import threading
from typing import Any


def _listen(tasks: queue.Queue[int]) -> None:
    for line in sys.stdin:
        tasks.put(int(line))
    os._exit(0)


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main(folder: str, threads: int) -> None:
    """Run what standard input asks for, until it ends."""
    tasks: queue.Queue[int] = queue.Queue()
    threading.Thread(target=_listen, args=(tasks,), daemon=True).start()

    import torch

    from ffpt_core.errors import FfptError
    from ffpt_openmm.replica import Replica, RunFolder

    torch.set_num_threads(threads)
    while True:
        index = tasks.get()
        try:
            outcome = Replica(RunFolder(folder), index).run(lambda steps: _say({"steps": steps}))
        except FfptError as error:
            _say({"error": str(error)})
        else:
            _say({"outcome": dataclasses.asdict(outcome)})


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
