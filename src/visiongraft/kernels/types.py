"""Names that the kernels share."""

from typing import Literal

Grid = tuple[int, int]
"""Height and width in cells."""

Path = Literal["auto", "plain", "fused"]
"""Which form of a kernel runs: the one that measured best here, the definition, or the fast one."""
