"""The page of a comparison, read as a browser would."""

import re

import pytest
import torch

from tests.compare.played import stage  # noqa: F401 - a fixture
from tests.explain.test_report import Page
from visiongraft.errors import RunError
from visiongraft.explain.comparison import write_comparison
from visiongraft.explain.plots import Gain, Place, forest, scatter

MINUS = "\N{MINUS SIGN}"


def write(found, **command) -> Page:
    path = write_comparison(found, notes=("A note.",), command=command, device=torch.device("cpu"))
    assert path == found.folder.report
    return Page(path)


@pytest.fixture
def page(stage) -> Page:  # noqa: F811
    return write(stage(cotnet_pico=(10, 11, 12)).run(), models="resnet_pico,botnet_pico,cotnet_pico", epochs=2)


def test_the_answers_come_first(page: Page) -> None:
    assert "resnet_pico, botnet_pico and cotnet_pico on insects" in page.text
    first = page.text.index("On insects, ")
    assert first < page.text.index("Which is better")
    assert "These intervals hold together: with 95% confidence all 2 are right at once." in page.text
    assert "each has 97.5% confidence, so that all hold with 95%" in page.text


def test_the_tables_hold_every_number(page: Page) -> None:
    assert page.rows["scores"][0] == [
        "network", "top-1", "95% interval", "seed 0", "seed 1", "seed 2", "epochs", "training",
    ]  # fmt: skip
    assert page.rows["scores"][1] == [
        "resnet_pico", "52.5%", "46.3 to 58.7", "50.0%", "52.5%", "55.0%", "2", "10 s",
    ]  # fmt: skip
    assert [row[:2] for row in page.rows["differences"][1:]] == [
        ["botnet_pico", "25.0"],
        ["cotnet_pico", f"{MINUS}25.0"],
    ]
    assert page.rows["costs"][1][:2] == ["resnet_pico", "24 × 24"]
    assert page.rows["costs"][2][5] == "2.00 (1.90 to 2.10)"
    assert len(page.rows["runs"]) == 1 + 9
    assert page.rows["runs"][5][:5] == ["botnet_pico", "1", "77.50%", "0.5000", "2"]
    assert "graft compare --models resnet_pico,botnet_pico,cotnet_pico --epochs 2" in page.text
    assert "A note." in page.text


def test_the_page_holds_all_that_it_shows_and_fetches_nothing(page: Page) -> None:
    assert not re.search(r'(?:src|href)="(?!#|https://arxiv\.org/|data:)', page.source)
    assert "url(" not in page.source.replace("url(#", "")
    assert "<script" not in page.source
    assert len(page.named("svg")) == 3
    ids = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    assert all(each["aria-label"] for each in page.named("div") if each.get("role") == "img")


def test_a_run_that_diverged_is_said_in_its_place(stage) -> None:  # noqa: F811
    page = write(stage(events={("botnet_pico", 2): "diverge"}).run())
    assert page.rows["scores"][2][1:6] == ["–", "–", "75.0%", "77.5%", "diverged"]
    assert page.rows["differences"][1][-1] == "a run diverged"
    assert "At step 1 of 2 the loss is nan." in page.rows["runs"][6][2]


def test_where_nothing_can_be_compared_there_is_no_drawing_of_it(stage) -> None:  # noqa: F811
    page = write(stage(events={(name, 0): "diverge" for name in ("resnet_pico", "botnet_pico", "cotnet_pico")}).run())
    assert page.named("svg") == []
    assert "Which is better" not in page.text


def test_an_ablation_asks_its_question_and_shows_what_is_published_beside(stage) -> None:  # noqa: F811
    names = ("resnet50", "botnet50_001", "botnet50_111")
    right = {name: (20 + place, 20, 21) for place, name in enumerate(names)}
    page = write(stage(**right).run(names=names, preset="botnet-c5"), preset="botnet-c5")
    assert "How many blocks of the last stage should attend, and at which stride?" in page.text
    assert page.rows["published"][1:] == [
        ["resnet50", "77.7", "50.8%"],
        ["botnet50_001", "–", "51.7%"],
        ["botnet50_111", "78.3", "52.5%"],
    ]
    assert "the last of three attends" in page.rows["scores"][2]
    assert "As quoted by BossNAS and LeViT." in page.text


def test_an_ablation_without_figures_says_why(stage) -> None:  # noqa: F811
    names = ("cotnet50", "cotnet50_static")
    right = {name: (20, 20, 21) for name in names}
    page = write(stage(**right).run(names=names, preset="cot-fusion"), preset="cot-fusion")
    assert "published" not in page.rows
    assert "its scores were not at hand" in page.text


def test_a_page_that_cannot_be_written_is_refused(stage) -> None:  # noqa: F811
    found = stage().run()
    found.folder.report.mkdir()
    with pytest.raises(RunError, match=r"report.html cannot be written: .* The table is in .*results.csv"):
        write(found)


def places(count: int, span: float) -> list[Place]:
    return [
        Place(f"network{index}", 10.0 + span * index, 0.8 + index / 100, (0.7, 0.9), (0.79, 0.81), "right")
        for index in range(count)
    ]


@pytest.mark.parametrize(("count", "span"), [(1, 0.0), (4, 1.0), (4, 1000.0), (6, 0.0)])
def test_scores_are_drawn_with_every_name_in_the_pages_colours(count: int, span: float) -> None:
    svg = scatter("macs", places(count, span), lambda number: f"{number:g}")
    assert re.findall(r">(network\d)<", svg) == [f"network{index}" for index in range(count)]
    assert not re.search(r"#[0-9a-f]{6}|font-family|<style|http", svg)


def test_names_of_networks_that_score_alike_do_not_lie_on_one_another() -> None:
    same = [Place(f"network{index}", 10.0, 0.8, (0.7, 0.9), (0.8,), "right") for index in range(5)]
    svg = scatter("macs", same, str)
    heights = sorted(float(y) for y in re.findall(r'y="([\d.]+)"[^>]*>network', svg))
    assert len(heights) == 5
    assert all(upper - lower > 8 for lower, upper in zip(heights, heights[1:], strict=False))


def test_differences_are_drawn_in_the_colour_of_what_they_say() -> None:
    tones = {"right": Gain("a", 0.02, 0.01, 0.03), "wrong": Gain("a", -0.02, -0.03, -0.01)}
    for tone, gain in tones.items():
        assert f"var(--{tone})" in forest("one", [gain])
    undecided = forest("one", [Gain("a", 0.0, -0.01, 0.01)])
    assert "var(--right)" not in undecided and "var(--wrong)" not in undecided
