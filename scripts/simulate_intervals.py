"""How often intervals of a difference hold the true one, where networks are simulated whose difference is known: 0.

    python scripts/simulate_intervals.py

Each image is as hard as it is, suits one network more than the other, and each seed makes a network somewhat better or
worse, and differently so on each image. The networks are of one kind, so no difference is true. Prints how often 95%
intervals of several kinds hold it, and half of their mean length in points. One of three intervals that hold together
has 98.3% by itself.
"""

import numpy as np

from visiongraft.compare.statistics import confidence_of_each, mean_over_seeds, paired_difference

TRIALS, RESAMPLES = 1000, 400
KINDS = ("Student's t over seeds", "bootstrap over images", "ours", "ours, one of three that hold together")


def answers(rng: np.random.Generator, hardness: np.ndarray, seeds: int, taste: float, luck: float) -> np.ndarray:
    """Give which images one network names rightly, (seeds, images)."""
    images = len(hardness)
    score = 2.0 - hardness + taste * rng.normal(size=images) + luck * rng.normal(size=(seeds, 1))
    return score + rng.logistic(size=(seeds, images)) > 0


def intervals(rng: np.random.Generator, ours: np.ndarray, theirs: np.ndarray) -> list[tuple[float, float]]:
    """Give the interval of each kind."""
    gains = ours.astype(float) - theirs
    seeds = mean_over_seeds(list(gains.mean(axis=1)))
    by_image = gains.mean(axis=0)
    means = by_image[rng.integers(0, len(by_image), (RESAMPLES, len(by_image)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    both = paired_difference(ours, theirs).estimate
    joint = paired_difference(ours, theirs, confidence=confidence_of_each(3)).estimate
    return [(seeds.low, seeds.high), (low, high), (both.low, both.high), (joint.low, joint.high)]


def main() -> None:
    """Print a row for each setting."""
    print("| seeds | images | seeds vary | networks' tastes vary |", " | ".join(KINDS), "|")
    for seeds, images in ((3, 748), (5, 748)):
        for luck, taste in ((0.0, 0.0), (0.0, 1.5), (0.1, 1.0), (0.15, 0.5)):
            rng = np.random.default_rng(0)
            held, halves = np.zeros(len(KINDS)), np.zeros(len(KINDS))
            for _ in range(TRIALS):
                hardness = 2.5 * rng.normal(size=images)
                pair = [answers(rng, hardness, seeds, taste, luck) for _ in range(2)]
                found = np.array(intervals(rng, *pair))
                held += (found[:, 0] <= 0) & (found[:, 1] >= 0)
                halves += (found[:, 1] - found[:, 0]) / 2
            cells = (f"{h / TRIALS:.1%} (±{100 * w / TRIALS:.1f})" for h, w in zip(held, halves, strict=True))
            print(f"| {seeds} | {images} | {luck} | {taste} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
