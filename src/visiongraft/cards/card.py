"""The card of a network: what others published of it beside what was measured here."""

import re
from dataclasses import dataclass, replace
from textwrap import wrap

from visiongraft.cards.published import METRICS, PUBLISHED, SOURCES, Published, Score, Size, Source, notes_on, paper_of
from visiongraft.cards.records import Count, Parity, counts, fingerprint, parities
from visiongraft.families.zoo import FAMILIES, get_spec
from visiongraft.spec import Backbone
from visiongraft.weights.sources import WEIGHT_SETS, WeightSet


@dataclass(frozen=True)
class Card:
    """What is known of a network of the zoo.

    Args:
        name: in the zoo.
        family: the table of the zoo that it stands in.
        paper: where it comes from, or what its designer started from.
        counts: what was counted, ours first.
        sizes: what others say that it costs.
        parity: how far it is from its originals with the same weights.
        scores: what others say that it reached.
        weights: what can be fetched, with the scores that are claimed for it.
        notes: sentences that belong to these numbers.
    """

    name: str
    family: str
    paper: Source
    counts: tuple[Count, ...]
    sizes: tuple[Size, ...]
    parity: tuple[Parity, ...]
    scores: tuple[Score, ...]
    weights: tuple[WeightSet, ...]
    notes: tuple[str, ...]

    def for_other_classes(self) -> "Card":
        """Give what also holds with other classes or channels: neither its sizes nor its scores."""
        return replace(self, counts=(), sizes=(), scores=())

    def for_other_weights(self) -> "Card":
        """Give what also holds for weights of one's own."""
        return replace(self.for_other_classes(), weights=())

    def as_json(self) -> dict[str, object]:
        """Give it as plain values."""
        return {
            "family": self.family,
            "paper": {"name": self.paper.words, "address": self.paper.address},
            "sizes": [
                *(_count_as_json(each) for each in self.counts),
                *(_size_as_json(each) for each in self.sizes),
            ],
            "parity": [
                {
                    "source": each.source,
                    "name": each.name,
                    "original": each.original,
                    "image": list(each.image),
                    "logits": each.logits,
                    "gradients": each.gradients,
                    "precision_of_gradients": each.precision,
                    "versions": each.versions,
                    "machine": each.machine,
                    "date": each.date,
                }
                for each in self.parity
            ],
            "scores": [
                {
                    "metric": each.metric,
                    "values": list(each.values),
                    "image": each.image,
                    "how": each.how,
                    "source": SOURCES[each.source].words,
                    "address": SOURCES[each.source].address,
                }
                for each in self.scores
            ],
            "weights": [_weights_as_json(each) for each in self.weights],
            "notes": list(self.notes),
        }

    def as_text(self, columns: int = 100) -> str:
        """Write it for a terminal.

        Args:
            columns: where sentences wrap; tables are never cut.
        """
        parts = [[f"{self.name}, of the family {self.family}: {self.paper.words}"]]
        if self.counts or self.sizes:
            parts.append(_table("size", ["image", "parameters", "MACs"], self._size_rows()))
        if self.parity:
            parts.append(
                _table("with the same weights as", ["image", "logits differ by", "gradients by"], self._parity_rows())
            )
        if self.scores:
            parts.append(_table("published score", ["image", ""], self._score_rows()))
        if self.weights:
            parts.append(_table("weights that can be fetched", ["image", "top-1 / top-5 in %"], self._weight_rows()))
        doubts = dict.fromkeys(f"The published size differs: {each.doubt}." for each in self.sizes if each.doubt)
        for note in (*self.notes, *doubts):
            parts.append(wrap(note, columns))
        return "\n".join("\n".join(lines) for lines in parts)

    def _size_rows(self) -> list[list[str]]:
        rows = [
            [owner(each), side(each.image), f"{in_millions(each.params)} M", f"{in_billions(each.macs)} G"]
            for each in self.counts
        ]
        for each in self.sizes:
            params = "" if each.params is None else f"{each.params:g} M"
            macs = "" if each.macs is None else f"{each.macs:g} G"
            rows.append([words(each), side((each.image, each.image)), params, macs])
        return rows

    def _parity_rows(self) -> list[list[str]]:
        return [
            [
                f"{each.original} ({small(each)}{made_with(each)}, {each.date})",
                side(each.image),
                share(each.logits),
                gradients(each),
            ]
            for each in self.parity
        ]

    def _weight_rows(self) -> list[list[str]]:
        return [[each.name, side(tested_at(each)), claim(each), each.licence] for each in self.weights]

    def _score_rows(self) -> list[list[str]]:
        return [
            [
                metric(each) + (f" ({each.how})" if each.how else ""),
                "" if each.image is None else side((each.image, each.image)),
                values(each),
                SOURCES[each.source].words,
            ]
            for each in self.scores
        ]


def card_of(name: str) -> Card:
    """Give the card of a network of the zoo.

    Raises:
        UnknownModel: if there is none of that name.
    """
    spec = get_spec(name)
    family = next(family for family, specs in FAMILIES.items() if spec in specs)
    published = PUBLISHED.get(spec.name, Published())
    return Card(
        name=spec.name,
        family=family,
        paper=paper_of(spec.name, family),
        counts=tuple(each for each in counts() if each.name == spec.name),
        sizes=published.sizes,
        parity=tuple(each for each in parities() if each.name.removesuffix("_small") == spec.name),
        scores=published.scores,
        weights=tuple(each for each in WEIGHT_SETS if each.network == spec.name),
        notes=notes_on(spec.name),
    )


def card_for(spec: Backbone) -> Card | None:
    """Give what is known of a network from wherever: all for one of the zoo, whatever its image size.

    Returns:
        For a form with other classes or channels, what holds for it too; None for a network of other parts, such as
        the form for small images, or one that only has the name of another.
    """
    names = {each.name: each for specs in FAMILIES.values() for each in specs}
    known = names.get(spec.name)
    if known is None or fingerprint(_design(spec)) != fingerprint(_design(known)):
        return None
    card = card_of(spec.name)
    same = spec.head.num_classes == known.head.num_classes and spec.in_chans == known.in_chans
    return card if same else card.for_other_classes()


def _design(spec: Backbone) -> Backbone:
    """Give a network without what users choose for their task."""
    head = replace(spec.head, num_classes=1000, dropout=0.0)
    return replace(spec, head=head, in_chans=3, image=(224, 224), drop_path=0.0)


def owner(count: Count) -> str:
    """Say whose network was counted."""
    return "ours" if count.of == "ours" else f"timm {count.version}, {count.of}"


def words(size: Size) -> str:
    """Say who gives a size."""
    return SOURCES[size.source].words


def metric(score: Score) -> str:
    """Say what was scored; where only the first of two numbers is given, without the second."""
    what = METRICS[score.metric]
    return re.sub(r" / [^ ]+", "", what) if len(score.values) == 1 else what


def values(score: Score) -> str:
    """Write the numbers of a score, each with one digit at least."""
    return " / ".join(str(float(value)) for value in score.values)


def claim(weights: WeightSet) -> str:
    """Write the scores that are claimed for weights, in percent; nothing where none are known."""
    if weights.claim is None:
        return ""
    return " / ".join(f"{100 * share:.3f}" for share in (weights.claim.top1, weights.claim.top5))


def tested_at(weights: WeightSet) -> tuple[int, int]:
    """Give the image size that the claim is for, or that the weights were trained at last."""
    return weights.preprocessing.image if weights.claim is None else (weights.claim.image, weights.claim.image)


def made_with(parity: Parity) -> str:
    """Say which libraries two networks were compared with."""
    return ", ".join(f"{library} {version}" for library, version in parity.versions.items())


def small(parity: Parity) -> str:
    """Say whether the form for small images was compared."""
    return "form for small images, " if parity.name.endswith("_small") else ""


def gradients(parity: Parity) -> str:
    """Write how far the gradients differ, and in which arithmetic if it is not float32."""
    return share(parity.gradients) + ("" if parity.precision == "float32" else f" ({parity.precision})")


def share(difference: float) -> str:
    """Write a difference; what is equal to the bit differs by 0."""
    return f"{difference:.1e}" if difference else "0"


def side(image: tuple[int, int]) -> str:
    """Write an image size as the command line takes it."""
    return f"{image[0]}x{image[1]}"


def in_millions(number: int) -> str:
    """Write a number of parameters in millions, with two digits at least."""
    return f"{number / 1e6:.2f}" if number >= 10**6 else f"{number / 1e6:.3f}"


def in_billions(number: int) -> str:
    """Write a number of multiply-adds in billions, with two digits at least."""
    return f"{number / 1e9:.2f}" if number >= 10**8 else f"{number / 1e9:.3f}"


def _weights_as_json(each: WeightSet) -> dict[str, object]:
    return {
        "name": each.name,
        "repository": each.repository,
        "licence": each.licence,
        "num_classes": each.num_classes,
        "image": list(tested_at(each)),
        "top1": None if each.claim is None else each.claim.top1,
        "top5": None if each.claim is None else each.claim.top5,
    }


def _count_as_json(each: Count) -> dict[str, object]:
    return {"of": owner(each), "image": list(each.image), "params": each.params, "macs": each.macs}


def _size_as_json(each: Size) -> dict[str, object]:
    return {
        "of": words(each),
        "address": SOURCES[each.source].address,
        "image": [each.image, each.image],
        "params": None if each.params is None else round(each.params * 1e6),
        "macs": None if each.macs is None else round(each.macs * 1e9),
        "doubt": each.doubt,
    }


def _table(title: str, heads: list[str], rows: list[list[str]]) -> list[str]:
    """Write rows below each other: the first column to the left, numbers to the right, a fifth one as it is."""
    table = [[title, *heads], *rows]
    widths = [max(len(row[index]) for row in table if index < len(row)) for index in range(len(heads) + 1)]
    lines: list[str] = []
    for first, *others in table:
        cells = [f"  {first:{widths[0]}}" if lines else f"{first:{widths[0] + 2}}"]
        cells += [f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=False)]
        cells += others[len(heads) :]
        lines.append("  ".join(cells).rstrip())
    return lines
