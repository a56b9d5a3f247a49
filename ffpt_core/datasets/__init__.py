"""Labelled frames: the Dataset, its files, splits, energy references and downloads."""

from ffpt_core.datasets.dataset import Dataset

__all__ = ["Dataset"]
