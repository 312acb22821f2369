"""What a step of training computes, from a part of a batch to its loss. It knows no loop and no library of one."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from visiongraft.data.loader import Batch, Share, mix
from visiongraft.data.transforms import Rows, jitter_colors, rotate
from visiongraft.data.views import cut_out
from visiongraft.preprocessing import Preprocessing, normalize
from visiongraft.train.recipe import Recipe

FEWEST = 2
"""Images that a part of a batch needs: one alone cannot be normalised over the batch."""


@dataclass(frozen=True)
class Lesson:
    """How a batch is learnt from: a function of the step, and of nothing that was drawn before it.

    Args:
        recipe: how.
        preprocessing: what images go through.
        share: which parts of each batch this device takes.
    """

    recipe: Recipe
    preprocessing: Preprocessing
    share: Share = Share()

    def loss(self, network: Callable[[Tensor], Tensor], batch: Batch, *, step: int, part: int = 0) -> Tensor:
        """Give the mean loss of a part of a batch, at least `FEWEST` images on the network's device.

        Args:
            network: from normalised pixels to logits.
            batch: the part.
            step: from 0, in the whole run.
            part: which of this device's parts it is.
        """
        rows = Rows(self.recipe.batch_size, self.share.first(part, self.recipe.batch_size))
        torch.manual_seed(mix("step", self.recipe.seed, step))
        pixels = batch.images.float() if batch.views is None else cut_out(batch.images, batch.views)
        pixels = rotate(pixels, self.recipe.rotation, rows)
        pixels = jitter_colors(pixels, self.recipe.color_jitter, rows)
        if self.share.of > 1:  # what the network draws differs from part to part
            torch.manual_seed(mix("part", self.recipe.seed, step, part * self.share.devices + self.share.device))
        logits = network(normalize(pixels, self.preprocessing))
        return F.cross_entropy(logits.float(), batch.labels, label_smoothing=self.recipe.label_smoothing)
