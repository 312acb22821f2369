"""Writes docs/models: a page for each family, its drawings, and the page that lists them.

    python -m scripts.make_model_cards

Prose is in scripts/model_pages. Numbers are those of the package's records and tables, which `graft info` shows too.
Nothing is measured here, so that a page is the same wherever it is written.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from scripts.block_drawings import drawn
from scripts.drawings import Drawing, as_svg
from tests.parity.originals import COSTLY, LARGE, NATIVE, WIDE
from visiongraft.blocks.bottleneck import Bottleneck
from visiongraft.blocks.site import Block, Mixer, Runtime, Site
from visiongraft.cards.card import (
    Card,
    card_of,
    claim,
    gradients,
    in_billions,
    in_millions,
    made_with,
    metric,
    share,
    side,
    tested_at,
    values,
)
from visiongraft.cards.published import SOURCES, Source
from visiongraft.cards.records import Parity
from visiongraft.families.zoo import FAMILIES, get_spec

REPOSITORY = Path(__file__).resolve().parents[1]
TEMPLATES = REPOSITORY / "scripts" / "model_pages"
FOLDER = REPOSITORY / "docs" / "models"

TITLES = {
    "resnet": "ResNet, SE-ResNet, Non-Local",
    "botnet": "BoTNet",
    "coatnet": "CoAtNet",
    "convmixer": "ConvMixer",
    "cotnet": "CoTNet",
    "listings": "Public listings",
}
"""What each family is called."""

_WHOLE, _SHALLOW = (
    [f"`{name}`" for name in NATIVE if (max(get_spec(name).image) > WIDE) == shallow] for shallow in (False, True)
)
TESTED = (
    "Tests hold each network to 1e-4 (logits) and 1e-3 (gradients) in a form that costs seconds. Up to"
    f" {COSTLY // 10**6} million parameters it is whole and at its own size. Up to {LARGE // 10**6} million it is"
    f" whole at 128 pixels at most; {', '.join(_WHOLE[:-1])} and {_WHOLE[-1]} keep their own size as well, and"
    f" {' and '.join(_SHALLOW)} its own with two blocks in a stage. Above, it has two blocks in a stage and a quarter"
    " of the widths, at its own size. ConvMixers see at most 70 pixels; the authors' own ConvMixers and CoTNets have"
    " two blocks in a stage and half the widths; lucidrains' have two blocks in a stage, 512 channels in the last"
    " and 96 pixels. Gradients are those of this form with at most two blocks in a stage and at 96 pixels at most."
)
"""In which forms tests compare networks with their originals: `affordable` in tests/parity/originals.py."""


@dataclass(frozen=True)
class Place:
    """A block of the zoo that is drawn.

    Args:
        file: name of the drawing.
        title: what stands above it.
        name: the network.
        stage: its stage, from 1.
        block: the block in the stage, from 1.
        inside: draw the mixer instead of the bottleneck around it.
    """

    file: str
    title: str
    name: str
    stage: int
    block: int
    inside: bool = False

    def found(self) -> tuple[Block | Mixer, Site]:
        """Give the word of the vocabulary, and what its place says."""
        spec = get_spec(self.name)
        block = spec.stages[self.stage - 1].blocks[self.block - 1]
        site = list(spec.sites(Runtime()))[self.stage - 1][self.block - 1]
        if not self.inside:
            return block, site
        assert isinstance(block, Bottleneck)
        return block.mixer, site.inside(int(site.width * block.ratio))

    def drawing(self) -> Drawing:
        """Draw it."""
        block, site = self.found()
        return drawn(block, site, f"{self.title}: {self.name}, stage {self.stage}, block {self.block}")


PLACES: dict[str, tuple[Place, ...]] = {
    "resnet": (
        Place("resnet", "Bottleneck", "resnet50", 3, 1),
        Place("seresnet", "Bottleneck", "seresnet50", 3, 2),
        Place("resnet_basic", "Basic block", "resnet14_cifar", 2, 1),
        Place("nonlocal", "Non-local block", "nonlocal_resnet50", 3, 6),
    ),
    "botnet": (
        Place("botnet", "Bottleneck", "botnet50", 4, 1),
        Place("botnet_attention", "Its attention", "botnet50", 4, 1, inside=True),
        Place("botnet_timm", "timm's bottleneck", "sebotnet33ts_256", 2, 1),
    ),
    "coatnet": (
        Place("coatnet_mbconv", "MBConv", "coatnet_0", 2, 1),
        Place("coatnet_transformer", "Transformer", "coatnet_0", 3, 1),
        Place("coatnet_mbconv_timm", "timm's MBConv", "coatnet_1_rw_224", 2, 1),
        Place("coatnet_transformer_timm", "timm's transformer", "coatnet_rmlp_1_rw_224", 3, 1),
    ),
    "convmixer": (Place("convmixer", "Block", "convmixer_1536_20", 1, 1),),
    "cotnet": (
        Place("cotnet", "Bottleneck", "cotnet50", 4, 1),
        Place("cotnet_mixer", "Its mixer", "cotnet50", 4, 1, inside=True),
        Place("cotnet_gated", "Bottleneck", "se_cotnetd50", 2, 1),
    ),
    "listings": (
        Place("listing_attention", "Attention", "botnet50_listing", 4, 1, inside=True),
        Place("listing_contextual", "Contextual transformer", "cotnet50_listing_groups4", 4, 1, inside=True),
    ),
}
"""What is drawn on each page."""


def pages() -> dict[str, str]:
    """Give the text of every file of docs/models, by its name."""
    cards = {family: [card_of(spec.name) for spec in specs] for family, specs in FAMILIES.items()}
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    files = {"index.md": index(cards)}
    for family, each in cards.items():
        text = environment.get_template(f"{family}.md.j2").render(
            papers=papers(each),
            drawings=drawings(PLACES[family]),
            networks=networks(each),
            parity=parity(each),
            scores=scores(each),
            weights=weights(each),
        )
        files[f"{family}.md"] = f"{text.rstrip()}\n\n{made_by(family)}\n"
        files.update({f"{place.file}.svg": as_svg(place.drawing()) for place in PLACES[family]})
    return files


def made_by(family: str) -> str:
    """Say where a page comes from."""
    return (
        f"<!-- Written by `make cards` from scripts/model_pages/{family}.md.j2 and the records in"
        " src/visiongraft/cards: change those. -->"
    )


def drawings(places: Iterable[Place]) -> str:
    """Show the pictures, which say whose block they draw."""
    pictures = (f"![{place.title} of {place.name}]({place.file}.svg)" for place in places)
    return "## The block\n\n" + "\n\n".join(pictures)


def networks(cards: list[Card]) -> str:
    """Write what the networks cost, by our count, as published and by the same count of timm's network."""
    head = ("network", "image", "M parameters", "published", "timm's", "G MACs", "published", "timm's", "published in")
    rows = [row for card in cards for row in size_rows(card)]
    return (
        "## Sizes\n\nMillions of parameters and billions of multiply-adds for one image, with 1000 classes (10 in"
        " those for CIFAR-10). `make cards` counts them; timm's networks are counted in the same way.\n\n"
        f"{table(head, rows)}\n\n{remarks(cards)}"
    )


def size_rows(card: Card) -> list[list[str]]:
    """Write a row for each image size: ours beside what is published at that size and timm's."""
    rows = []
    theirs = {each.image: each for each in card.counts if each.of != "ours"}
    for ours in (each for each in card.counts if each.of == "ours"):
        published = [each for each in card.sizes if (each.image, each.image) == ours.image]
        timms = theirs.get(ours.image)
        rows.append(
            [
                f"`{card.name}`",
                side(ours.image),
                in_millions(ours.params),
                " ".join(f"{each.params:g}" for each in published if each.params is not None),
                "" if timms is None else in_millions(timms.params),
                in_billions(ours.macs),
                " ".join(f"{each.macs:g}" for each in published if each.macs is not None),
                "" if timms is None else in_billions(timms.macs),
                ", ".join(cited(each.source, card) for each in published),
            ]
        )
    return rows


def remarks(cards: list[Card]) -> str:
    """Write the notes, each once with the networks that it is about."""
    found: dict[str, list[str]] = {}
    for card in cards:
        doubts = (f"The published size differs: {each.doubt}." for each in card.sizes if each.doubt)
        for note in dict.fromkeys([*card.notes, *doubts]):
            found.setdefault(note, []).append(f"`{card.name}`")
    return "\n".join(f"- {', '.join(names)}: {note}" for note, names in found.items())


def parity(cards: list[Card]) -> str:
    """Write how far networks are from their originals, a table for each occasion on which that was measured."""
    title = "## The same weights, the same outputs\n\n"
    rows = [each for card in cards for each in card.parity]
    if not rows:
        return f"{title}Not compared yet: no original of this family can be built here."

    def occasion(row: Parity) -> tuple[str, str, str]:
        return row.date, made_with(row), row.machine

    parts = []
    for (day, versions, machine), group in groupby(sorted(rows, key=occasion), key=occasion):
        cells = [
            [
                f"`{row.name}`",
                row.original,
                side(row.image),
                share(row.logits),
                gradients(row),
            ]
            for row in group
        ]
        parts.append(
            f"{day}, {versions}, {machine}:\n\n"
            + table(("network", "original", "image", "logits", "gradients"), cells)
        )
    return (
        f"{title}Both networks, at full depth and width, get the same random numbers, statistics included. Logits:"
        " the largest difference on two photographs, as a share of the largest logit. Gradients: those of one"
        " training step on four photographs of 96 pixels with at most two blocks in a stage, the largest"
        " difference in any tensor as a share of its largest number. All in float32 unless it says otherwise;"
        " 0 is equality to the bit. `python -m scripts.measure_parity FOLDER` measures it on the photographs"
        f" in `FOLDER/data/demo`.\n\n{TESTED}\n\n" + "\n\n".join(parts)
    )


def scores(cards: list[Card]) -> str:
    """Write what others say that the networks reached."""
    rows = [
        [
            f"`{card.name}`",
            metric(each),
            "" if each.image is None else str(each.image),
            values(each),
            each.how,
            cited(each.source, card),
        ]
        for card in cards
        for each in card.scores
    ]
    found = table(("network", "score", "image", "", "how", "source"), rows) if rows else "None that could be checked."
    return f"## Published scores\n\nOf others, with their weights and recipes. None is measured here.\n\n{found}"


def weights(cards: list[Card]) -> str:
    """Write what can be fetched."""
    rows = [
        [f"`{each.network}`", f"`{each.tag}`", side(tested_at(each)), claim(each), str(each.num_classes), each.licence]
        for card in cards
        for each in card.weights
    ]
    if not rows:
        return "## Weights that can be fetched\n\nNone that can be fetched by name."
    return (
        "## Weights that can be fetched\n\n`vg.create_model(NAME, pretrained=True)` takes the first of a network,"
        ' `vg.create_model("NAME.TAG", pretrained=True)` any. Scores are what timm measured (results-imagenet.csv at'
        " aa4b5850): top-1 / top-5 in % on ImageNet-1k at the size beside them. Where there is no score, the size is"
        " that of the training.\n\n" + table(("network", "tag", "image", "claimed score", "classes", "licence"), rows)
    )


def index(cards: dict[str, list[Card]]) -> str:
    """Write the page that leads to the others."""
    rows = []
    for family, each in cards.items():
        compared = [row for card in each for row in card.parity]
        largest = share(max(row.logits for row in compared)) if compared else ""
        rows.append([f"[{TITLES[family]}]({family}.md)", str(len(each)), str(len(compared)), largest])
    found = table(("family", "networks", "comparisons with originals", "largest difference of logits"), rows)
    return (
        "# The networks\n\nA page for each family: what it is, its block, sizes beside the published ones, how far its"
        " outputs are from the originals' with the same weights, published scores, and where papers, their code and"
        " public listings disagree. `graft info NAME` shows the same of one network.\n\n"
        f"{found}\n\n<!-- Written by `make cards`. -->\n"
    )


def papers(cards: list[Card]) -> str:
    """Name the papers of a family, in the order of its networks."""
    return "From " + ", ".join(dict.fromkeys(link(card.paper) for card in cards)) + "."


def cited(source: str, card: Card) -> str:
    """Write the source of a number, which most often is the paper that the page has named."""
    found = SOURCES[source]
    return f"[the paper]({found.address})" if found == card.paper else link(found)


def link(source: Source) -> str:
    """Write a source with its address."""
    return f"[{source.words}]({source.address})"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Write a table in Markdown."""
    columns = list(head)
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write() -> None:
    """Write all files, and take away what is no page any more."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    files = pages()
    for path in FOLDER.iterdir():
        if path.name not in files:
            path.unlink()
    for name, text in files.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
