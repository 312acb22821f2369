"""Networks at work: their inference form, and predictions."""

from visiongraft.folding import fold

__all__ = ["fold"]
