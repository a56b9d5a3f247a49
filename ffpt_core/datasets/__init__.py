"""Labelled frames: the Dataset, its files, splits, energy references and downloads."""

from ffpt_core.datasets.dataset import Dataset
from ffpt_core.datasets.readers import DatasetWarning, read
from ffpt_core.datasets.writers import write

__all__ = ["Dataset", "DatasetWarning", "read", "write"]
