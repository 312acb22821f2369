"""Which images of a set show the same picture: equal to the last pixel, or nearly so."""

from collections.abc import Iterator
from hashlib import blake2b

import numpy as np
from jaxtyping import Bool, Float, Int64, UInt16, UInt64
from numpy import ndarray
from PIL import Image

SIDE = 32
"""Height and width in pixels to which an image is shrunk before its looks are judged."""

WAVES = 16
"""How many frequencies a perceptual hash knows each way; it has the square of it as bits."""

NEAR = 32
"""Images whose perceptual hashes differ in no more of the 256 bits are called nearly the same.

Of copies that were encoded anew, resized or brightened a little, 99 of 100 lie within it, and of pairs of different
photographs none was seen to: docs/data.md has what was measured.
"""

MOST_NEIGHBOURS = 1024
"""With how many images that share a row of bits an image is compared: in sets of one scene nearly all may share it."""

MOST_PAIRS = 1_000_000
"""At how many pairs the search ends: a set with more of them is not mended pair by pair."""

Pairs = Int64[ndarray, "pairs 2"]
"""Places of two images each, the smaller first."""


def digest(image: Image.Image) -> bytes:
    """Give 16 bytes that two RGB images share if and only if they share size and pixels, whatever their files hold."""
    width, height = image.size
    return blake2b(image.tobytes(), digest_size=16, person=f"{width}x{height}".encode()).digest()


def shrunk(image: Image.Image) -> Float[ndarray, "32 32"]:
    """Shrink an RGB image, whatever its shape, to the square of gray that `perceptual_hashes` takes, from 0 to 255."""
    small = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(small.convert("L"), np.float32)


def perceptual_hashes(grays: Float[ndarray, "b 32 32"]) -> UInt16[ndarray, "b 16"]:
    """Describe the looks of images by 256 bits each, of which re-encoded or resized copies share nearly all.

    A bit says whether one of the 256 lowest frequencies of the two-dimensional cosine transform is above the median of
    them. So brightness (the mean, which is left out of the median) and contrast do not count, nor does colour.
    Mirrored, turned and cropped copies look different to it.

    Args:
        grays: what `shrunk` gave.

    Returns:
        A row of 16 bits for each vertical frequency.

    Source: pHash (Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions"), which takes 64
        frequencies. In 256 bits, other pictures are further from the copies; docs/data.md has the figures.
    """
    waves = _cosines()
    strengths = (waves @ grays @ waves.T).reshape(len(grays), -1)  # b 256
    median = np.median(strengths[:, 1:], axis=1, keepdims=True) if len(grays) else strengths[:, :1]
    return np.packbits(strengths > median, axis=1).view(np.uint16)


def equal_groups(digests: UInt64[ndarray, "b 2"], among: Int64[ndarray, " some"]) -> list[Int64[ndarray, " _"]]:
    """Find the images that are equal to the last pixel.

    Args:
        digests: what `digest` gave for each image, as two numbers.
        among: the places to look at, in rising order.

    Returns:
        The places of each group of two or more, in rising order; the groups by their first place.
    """
    _, group = np.unique(digests[among], axis=0, return_inverse=True)
    order = np.argsort(group.reshape(-1), kind="stable")
    cuts = np.flatnonzero(np.diff(group.reshape(-1)[order])) + 1
    groups = [among[each] for each in np.split(order, cuts) if len(each) > 1]
    return sorted(groups, key=lambda each: int(each[0]))


def near_pairs(hashes: UInt16[ndarray, "b 16"], *, within: int = NEAR) -> Pairs:
    """Find the images that look nearly the same, without comparing each with each.

    Two hashes that differ in few bits have most probably one of their 16 rows in common, so only images that share one
    are compared: of the 260 pairs among 60,000 pictures of CIFAR-10, 258 are found. A pair that differs in less than
    16 bits cannot be missed, but beyond the bounds of `MOST_NEIGHBOURS` and `MOST_PAIRS`.

    Args:
        hashes: what `perceptual_hashes` gave.
        within: how many bits may differ.

    Returns:
        The pairs, sorted.
    """
    count = len(hashes)
    whole = np.ascontiguousarray(hashes).view(np.uint64)  # b 4
    found = np.zeros(0, np.int64)  # pairs, each as one number
    for row in range(hashes.shape[1]):
        order = np.argsort(hashes[:, row], kind="stable")  # so the smaller place of a pair comes first
        pairs = [found]
        for first, second in _neighbours(hashes[order, row]):
            apart = np.bitwise_count(whole[order[first]] ^ whole[order[second]]).sum(axis=1, dtype=np.int64)
            near = apart <= within
            pairs.append(order[first[near]] * count + order[second[near]])
            if sum(map(len, pairs)) > MOST_PAIRS:
                break
        found = np.unique(np.concatenate(pairs))[:MOST_PAIRS]
    return np.stack([found // max(count, 1), found % max(count, 1)], axis=1)


def _neighbours(keys: UInt16[ndarray, " b"]) -> Iterator[tuple[Int64[ndarray, " _"], Int64[ndarray, " _"]]]:
    """Pair up equal ones among sorted keys: those next to one another, then those two places apart, and so on."""
    first = np.arange(len(keys))
    for step in range(1, MOST_NEIGHBOURS + 1):
        first = first[first + step < len(keys)]
        first = first[keys[first] == keys[first + step]]
        if len(first) == 0:
            return
        yield first, first + step


def are_flat(grays: Float[ndarray, "b 32 32"]) -> Bool[ndarray, " b"]:
    """Tell which images show next to nothing, so that their perceptual hash would be noise.

    Args:
        grays: what `shrunk` gave.
    """
    return np.std(grays, axis=(1, 2)) < _FLAT


_FLAT = 2.0  # of 255 levels of brightness, as a standard deviation


def _cosines() -> Float[ndarray, "16 32"]:
    """Give the lowest waves of the cosine transform (type II), one in a row."""
    middles = np.arange(SIDE) + 0.5
    return np.cos(np.pi / SIDE * np.arange(WAVES)[:, None] * middles).astype(np.float32)
