"""Training: from scratch, pre-training and fine-tuning as one code path."""

from ffpt_core.training.configuration import TrainingConfiguration, make_configuration, read_configuration
from ffpt_core.training.evaluation import Errors, evaluate, predict
from ffpt_core.training.run import TrainingResult, train

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
