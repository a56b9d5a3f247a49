"""A process that runs groups of replicas for ffpt_openmm.md.pool: ``python -m ffpt_openmm.md.worker FOLDER THREADS``.

It reads groups from standard input, a JSON list of replicas on each line, and answers on standard output with lines of
JSON: {"steps": n} for progress, {"replica": k, "outcome": {...}} when one has ended, and for the group {"done": true}
or {"error": "..."}. It ends with its parent: the end of standard input, which even SIGKILL of the parent brings about,
ends it at once; checkpoints make that harmless.
"""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ffpt_openmm.md.settings import Outcome


def _listen(tasks: queue.Queue[list[int]]) -> None:
    for line in sys.stdin:
        tasks.put(json.loads(line))
    os._exit(0)


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _ended(replica: int, outcome: Outcome) -> None:
    _say({"replica": replica, "outcome": dataclasses.asdict(outcome)})


def main(folder: str, threads: int) -> None:
    """Run what standard input asks for, until it ends."""
    tasks: queue.Queue[list[int]] = queue.Queue()
    threading.Thread(target=_listen, args=(tasks,), daemon=True).start()

    import torch

    from ffpt_core.base.errors import FfptError
    from ffpt_openmm.md.folder import RunFolder
    from ffpt_openmm.md.group import ReplicaGroup

    torch.set_num_threads(threads)
    while True:
        replicas = tasks.get()
        try:
            ReplicaGroup(RunFolder(folder), replicas).run(lambda steps: _say({"steps": steps}), _ended)
        except FfptError as error:
            _say({"error": str(error)})
        else:
            _say({"done": True})


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
