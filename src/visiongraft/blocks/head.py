"""The head: from the last feature map to one number per class."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from visiongraft.blocks.primitives import activation, conv, map_norm, norm
from visiongraft.errors import SpecError


@dataclass(frozen=True)
class Head:
    """Average over the cells, perhaps a hidden layer, then a linear layer.

    Args:
        num_classes: how many numbers go out; 0 leaves out the linear layer.
        norm: normalisation: "none", "layer" over the channels, or "batch".
        norm_of: what is normalised: the "means", or each of the "cells" before they are averaged.
        cell_hidden: width of a hidden layer of each cell before all else, normalised over the batch and with SiLU, or
            None for no such layer. What it gives is the network's last feature map, as in timm.
        hidden: width of a hidden layer with tanh before the classifier, or None for no such layer.
        dropout: probability of dropping a feature before the linear layer, in [0, 1).
    """

    num_classes: int = 1000
    norm: Literal["none", "layer", "batch"] = "none"
    hidden: int | None = None
    dropout: float = 0.0
    norm_of: Literal["means", "cells"] = "means"
    cell_hidden: int | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.dropout < 1.0:
            raise SpecError(f"dropout is a probability in [0, 1), not {self.dropout}.")
        if self.num_classes < 0:
            raise SpecError(f"The number of classes is 0 for no classifier, or more, not {self.num_classes}.")

    def build(self, width: int) -> "ClassifierHead":
        """Make the head for maps of `width` channels."""
        return ClassifierHead(self, width)


class ClassifierHead(nn.Module):
    """See `Head`. It takes the last feature map, which `cell_hidden` has gone over already: the network does that."""

    def __init__(self, spec: Head, width: int) -> None:
        super().__init__()
        self.norm_of = spec.norm_of
        self.cell_hidden = nn.Identity() if spec.cell_hidden is None else _cell_layer(width, spec.cell_hidden)
        width = spec.cell_hidden or width
        self.norm = nn.Identity() if spec.norm == "none" else map_norm(spec.norm, width)
        self.hidden = nn.Identity() if spec.hidden is None else nn.Sequential(_linear(width, spec.hidden), nn.Tanh())
        self.num_features = spec.hidden or width
        self.dropout = nn.Dropout(spec.dropout)
        self.classifier = self._classifier(spec.num_classes)

    def forward(self, maps: Tensor) -> Tensor:
        return self.classifier(self.dropout(self.pool(maps)))

    def pool(self, maps: Tensor) -> Tensor:
        """Reduce maps (b, c, h, w) to the features (b, num_features) that the classifier sees."""
        if self.norm_of == "cells":
            return self.hidden(self.norm(maps).mean((2, 3)))
        return self.hidden(self.norm(maps.mean((2, 3), keepdim=True)).flatten(1))

    def reset(self, num_classes: int) -> None:
        """Put a fresh classifier for `num_classes` in the place of the present one."""
        like = next(self.parameters(), None)
        self.classifier = self._classifier(num_classes)
        if like is not None:
            self.classifier.to(like.device, like.dtype)

    def _classifier(self, num_classes: int) -> nn.Module:
        return _linear(self.num_features, num_classes) if num_classes else nn.Identity()


def _cell_layer(in_width: int, width: int) -> nn.Module:
    return nn.Sequential(conv(in_width, width), norm(width), activation("silu"))


def _linear(in_width: int, width: int) -> nn.Linear:
    layer = nn.Linear(in_width, width)
    nn.init.trunc_normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return layer
