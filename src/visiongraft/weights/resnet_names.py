"""torchvision's names for the parts of a ResNet, which nearly everyone who built on it has kept."""

from visiongraft.weights.renaming import Names

STEM: Names = {"conv1": "0", "bn1": "1"}
"""Of a stem of one convolution."""

BOTTLENECK: Names = {
    "conv1": "reduce",
    "bn1": "norm1",
    "conv2": "mixer",
    "bn2": "norm2",
    "conv3": "expand",
    "bn3": "norm3",
}
"""Of a bottleneck, but for its shortcut and gate. Parts of a mixer that have names of their own go before `conv2`."""
