"""What a step of training computes, from a part of a batch to its loss. It knows no loop and no library of one."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from visiongraft.data.augment import Augmented, parse_policy
from visiongraft.data.erasing import cutout, erase
from visiongraft.data.loader import Batch
from visiongraft.data.mixing import Blend, Mixing
from visiongraft.data.order import Order
from visiongraft.data.sampling import Ahead, Share, mix
from visiongraft.data.sets import ImageData
from visiongraft.data.shards import ShardImages
from visiongraft.data.streams import AHEAD
from visiongraft.data.transforms import PaddedCrop, Rows, TrainTransform, Transform, jitter_colors, rotate
from visiongraft.data.views import cut_out
from visiongraft.errors import DataError
from visiongraft.preprocessing import Preprocessing, normalize
from visiongraft.train.recipe import NONE, Recipe, in_eights


@dataclass(frozen=True)
class Lesson:
    """How a batch is learnt from: a function of the step, and of nothing that was drawn before it.

    Args:
        recipe: how.
        preprocessing: what images go through.
        share: which parts of each batch this device takes.
        class_weights: how much each class counts, 1 in the mean over the images; none where all count alike.
        smallest: no side of an image gets shorter than this.
    """

    recipe: Recipe
    preprocessing: Preprocessing
    share: Share = Share()
    class_weights: tuple[float, ...] = ()
    smallest: int = 1

    def loss(self, network: Callable[[Tensor], Tensor], batch: Batch, *, step: int, part: int = 0) -> Tensor:
        """Give the mean loss of a part of a batch, of at least one image, on the network's device.

        Args:
            network: from normalised pixels to logits.
            batch: the part.
            step: from 0, in the whole run.
            part: which of this device's parts it is.
        """
        rows = Rows(self.recipe.batch_size, self.share.first(part, self.recipe.batch_size), batch.places)
        torch.manual_seed(mix("step", self.recipe.seed, step))
        pixels = self._shown(batch, step)
        pixels = rotate(pixels, self.recipe.rotation, rows)
        pixels = jitter_colors(pixels, self.recipe.color_jitter, rows)
        pixels = normalize(pixels, self.preprocessing)
        pixels = cutout(pixels, self.recipe.cutout, rows)
        pixels = erase(pixels, self.recipe.reprob, self.recipe.remode, rows)
        blend = self._blend(pixels, step)
        if blend is not None:
            pixels = blend.images(pixels, batch.places)
        if self.share.of > 1:  # what the network draws differs from part to part
            torch.manual_seed(mix("part", self.recipe.seed, step, part * self.share.devices + self.share.device))
        return self._objective(network(pixels).float(), batch, blend)

    def _shown(self, batch: Batch, step: int) -> Tensor:
        """Give the pixels of a batch, from 0 to 255, at the size of the step."""
        size = batch.images.shape[2:] if batch.views is None else batch.views.size
        image = (int(size[0]), int(size[1]))
        if self.recipe.multi_scale:
            draws = random.Random(mix("size", self.recipe.seed, step))
            share = 1.0 + self.recipe.multi_scale * draws.uniform(-1.0, 1.0)
            image = in_eights(share, image, smallest=self.smallest)
        if batch.views is not None:
            return cut_out(batch.images, batch.views._replace(size=image))
        pixels = batch.images.float()
        if image == tuple(size):
            return pixels
        return F.interpolate(pixels, image, mode="bilinear", antialias=True)

    def _blend(self, pixels: Tensor, step: int) -> Blend | None:
        """Draw how the batch of a step is mixed: in every part of it alike."""
        mixing = Mixing(self.recipe.mixup, self.recipe.cutmix, self.recipe.mixup_prob, self.recipe.mixup_switch_prob)
        return mixing.blend(mix("blend", self.recipe.seed, step), (pixels.shape[2], pixels.shape[3]))

    def _objective(self, logits: Tensor, batch: Batch, blend: Blend | None) -> Tensor:
        """Give the mean loss of logits (b, classes)."""
        smoothing, labels = self.recipe.label_smoothing, batch.labels
        if blend is None and not self.class_weights and self.recipe.loss == "cross_entropy":
            return F.cross_entropy(logits, labels, label_smoothing=smoothing)
        classes = logits.shape[1]
        targets = F.one_hot(labels, classes).float() if blend is None else blend.targets(labels, classes, batch.places)
        weights = torch.tensor(self.class_weights, device=logits.device) if self.class_weights else None
        if self.recipe.loss == "cross_entropy":
            # With shares of classes in place of labels, the mean is over images, whatever these weigh.
            return F.cross_entropy(logits, targets, weight=weights, label_smoothing=smoothing)
        # A class is told apart by all answers about an image, so its weight is that of the image, and not of a column.
        each = None if weights is None else (targets @ weights).unsqueeze(1)  # b 1
        targets = targets * (1.0 - smoothing) + smoothing / classes
        return F.binary_cross_entropy_with_logits(logits, targets, weight=each)


def lesson_on(data: ImageData, recipe: Recipe, preprocessing: Preprocessing, *, share: Share, smallest: int) -> Lesson:
    """Make the lesson on a data set, with arguments as in `Lesson`."""
    weights: tuple[float, ...] = ()
    if recipe.class_weights == "balanced":
        weights = balanced_weights(data)
    return Lesson(recipe, preprocessing, share, weights, smallest)


def balanced_weights(data: ImageData) -> tuple[float, ...]:
    """Give each class a weight such that all classes together count alike, and an image 1 in the mean."""
    counts = torch.from_numpy(data.train.labels).bincount(minlength=len(data.classes))
    present = int((counts > 0).sum())
    return tuple((len(data.train) / (present * counts.clamp(min=1))).tolist())


def order_of(data: ImageData, recipe: Recipe) -> Order:
    """Give the order in which a recipe shows the images of a data set.

    Raises:
        DataError: if classes are to be balanced that lie in a bucket: each batch would need most of its chunks.
    """
    labels = data.train.labels if recipe.sampler == "balanced" else None
    if not isinstance(data.train, ShardImages):
        return Order(len(data.train), recipe.aug_repeats, labels)
    if labels is not None and data.train.source.remote:
        raise DataError(
            "--sampler balanced takes images from everywhere, and these come from a bucket, chunk after chunk. Use"
            " --class-weights balanced, or copy the shards to a folder."
        )
    return Order(len(data.train), recipe.aug_repeats, labels, data.train.sizes)


def ahead_of(data: ImageData) -> Ahead | None:
    """Give what fetches the chunks that come next; None where nothing has to be fetched."""
    images = data.train
    if not isinstance(images, ShardImages) or not images.source.remote:
        return None
    return Ahead(AHEAD * len(images) // len(images.chunks), images.expect)


def training_transform(recipe: Recipe, preprocessing: Preprocessing) -> Transform:
    """Give what a recipe does to one image, before it is batched."""
    crop: TrainTransform | PaddedCrop
    if recipe.crop_padding:
        crop = PaddedCrop(preprocessing, recipe.crop_padding, recipe.flip)
    else:
        ratio = (1.0 / recipe.crop_ratio, recipe.crop_ratio)
        crop = TrainTransform(preprocessing, (recipe.crop_scale, 1.0), ratio, recipe.flip)
    policy = parse_policy(recipe.aa)
    return crop if policy is None else Augmented(crop, policy)


def taken_at_once(data: ImageData, recipe: Recipe) -> bool:
    """Tell whether batches are taken from memory as they are, so that no processes have to work on single images."""
    return data.native is not None and recipe.aa == NONE
