"""Training: from scratch, pre-training and fine-tuning as one code path."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ffpt_core.training.configuration import TrainingConfiguration, make_configuration, read_configuration
    from ffpt_core.training.evaluation import Errors, evaluate, predict
    from ffpt_core.training.run import TrainingResult, train

_HOMES = {
    "Errors": "evaluation",
    "TrainingConfiguration": "configuration",
    "TrainingResult": "run",
    "evaluate": "evaluation",
    "make_configuration": "configuration",
    "predict": "evaluation",
    "read_configuration": "configuration",
    "train": "run",
}

__all__ = [
    "Errors",
    "TrainingConfiguration",
    "TrainingResult",
    "evaluate",
    "make_configuration",
    "predict",
    "read_configuration",
    "train",
]


def __getattr__(name: str) -> Any:
    """Imported when used, as in ffpt_core: a page about a training does not wait for torch."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"ffpt_core.training.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'ffpt_core.training' has no attribute {name!r}")
