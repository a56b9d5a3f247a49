"""``python -m ffpt_core.cli``: the ffpt command where its script is not on the path."""

from ffpt_core.cli.main import run

run()
