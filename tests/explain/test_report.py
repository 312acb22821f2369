"""The page about a run, read as a browser would."""

import html
import importlib
import io
import re
import shlex
import sys
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch
from PIL import Image

from tests.networks import shallow
from visiongraft.cli.arguments import flat
from visiongraft.cli.options import parse
from visiongraft.cli.verbs import VERBS
from visiongraft.data.loader import Failure
from visiongraft.data.sets import ArrayImages, FileImages, ImageData
from visiongraft.errors import RunError
from visiongraft.explain import report
from visiongraft.network import Network
from visiongraft.train.engine import Outcome
from visiongraft.train.evaluate import Evaluation
from visiongraft.train.run import RunFolder
from visiongraft.weights import store

DEFAULTS = {"model": "coatnet_pico", "data": None, "data_dir": None, "epochs": 30, "lr": 2e-3, "seed": 0}


class Page(HTMLParser):
    """A page taken apart: its elements with their attributes, its text, and the rows of its tables by class."""

    VOID = ("meta", "img", "br", "path", "use", "rect")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.rows: dict[str, list[list[str]]] = {}
        self.open: list[str] = []
        self._table = ""
        self.feed(self.source)
        self.close()
        self.text = " ".join(self.text.split())
        for row in (row for table in self.rows.values() for row in table):
            row[:] = [" ".join(cell.split()) for cell in row]

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self._table = str(dict(attrs).get("class"))
        if tag == "tr":
            self.rows.setdefault(self._table, []).append([])
        if tag in ("td", "th"):
            self.rows[self._table][-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data
            if {"td", "th"} & set(self.open):
                row = self.rows[self._table][-1]
                row[-1] += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "best.safetensors"
    return store.save(Network(shallow("convmixer_pico", num_classes=3)), path, classes=("ant", "bee", "cat"))


@pytest.fixture
def write(tmp_path, weights):
    """Give a function that writes the page of a run; the courses of its epochs are (val_loss, val_top1) or None."""
    run = RunFolder(tmp_path / "run")

    def write(
        evaluation, data, *, course=((1.0, 0.5),), pace=None, unreadable=(), options=MappingProxyType({})
    ) -> Page:
        run.path.mkdir(exist_ok=True)
        run.best.write_bytes(weights.read_bytes())
        run.metrics.unlink(missing_ok=True)
        for number, val in enumerate(course, start=1):
            loss, top1 = val or (None, None)
            row = {"epoch": number, "lr": 0.0, "train_loss": 1.5, "val_loss": loss, "val_top1": top1}
            run.append_metrics(row | (pace or {}))
        spec = shallow("convmixer_pico", num_classes=3)
        best = max((number for number, val in enumerate(course, start=1) if val), key=lambda each: course[each - 1][1])
        outcome = Outcome(spec, evaluation, len(course), best, 171.0, run, tuple(unreadable))
        path = report.write_report(
            outcome, data, options=DEFAULTS | options, defaults=DEFAULTS, device=torch.device("cpu")
        )
        assert path == run.report
        return Page(path)

    return write


def photographs(classes, labels, name="flowers", side=8) -> ImageData:
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), side, side, 3), np.uint8)
    train = FileImages(Path(), ("a.jpg",) * 1234, np.zeros(1234, np.int64))
    return ImageData(name, tuple(classes), train, ArrayImages("val", pixels, np.array(labels)))


def judged(predictions, labels, classes=3, confidence=0.9) -> Evaluation:
    confidences = np.broadcast_to(np.asarray(confidence, np.float32), len(labels))
    probabilities = np.repeat((1 - confidences[:, None]) / (classes - 1), classes, axis=1)
    probabilities[np.arange(len(labels)), predictions] = confidences
    labels = np.array(labels, np.int64)
    return Evaluation(probabilities, labels, np.arange(len(labels)), 0.987, (), 1.0)


LABELS = [0, 0, 0, 0, 1, 1, 1, 2, 2]
PREDICTIONS = [0, 0, 0, 1, 1, 1, 0, 0, 1]
INSECTS = photographs(("ant", "bee", "cat"), LABELS)


def test_the_numbers_on_the_page_are_those_worked_out_by_hand(write):
    page = write(judged(PREDICTIONS, LABELS), INSECTS, course=[(2.0, 0.3), (0.987, 0.556), None])
    assert "right class for 5 of 9 validation images" in page.text
    assert "most frequent class would be right for 4." in page.text
    assert "Validation top-1 55.6% 26.7% to 81.1% with 95% confidence" in page.text
    assert "Validation loss 0.987 nats; guessing evenly gives 1.099" in page.text
    assert "Epochs 3 of 30; weights kept from epoch 2" in page.text
    assert "Training time 2 min 51 s" in page.text
    assert "flowers: 1,234 images to learn from, 9 to validate on, 3 classes" in page.text
    assert page.rows["scores"] == [
        ["class", "images", "recall", "precision", "F1", "most often taken for"],
        ["ant", "4", "75.0%", "60.0%", "66.7%", "bee 1"],
        ["bee", "3", "66.7%", "50.0%", "57.1%", "ant 1"],
        ["cat", "2", "0.0%", "–", "0.0%", "ant 1"],
        ["mean of the classes", "", "47.2%", "55.0%", "41.3%", ""],
    ]
    assert page.rows["matrix"] == [
        ["", "ant", "bee", "cat"],
        ["ant", "3 75%", "1 25%", "0"],
        ["bee", "1 33%", "2 67%", "0"],
        ["cat", "1 50%", "1 50%", "0"],
    ]


def test_one_epoch_makes_no_curve_and_one_of_a_kind_no_plural(write):
    page = write(judged([0], [0]), photographs(("ant", "bee", "cat"), [0]))
    assert "One epoch makes no curve: its numbers are in the table." in page.text
    assert "a ring marks them" not in page.text
    assert not page.named("svg")
    assert "right class for 1 of 1 validation image." in page.text
    assert "1 to validate on, 3 classes" in page.text
    longer = write(judged([0], [0]), photographs(("ant", "bee", "cat"), [0]), course=[(2.0, 0.3), (0.9, 0.5)])
    assert "makes no curve" not in longer.text
    assert len(longer.named("svg")) == 3


def test_the_page_says_how_long_the_network_waited_for_images_and_what_to_do_where_that_was_long(write):
    short, long = (
        write(judged(PREDICTIONS, LABELS), INSECTS, pace={"train_images_per_second": 1234.5, "wait_share": share})
        for share in (0.2, 0.43)
    )
    assert "Waiting for images 20.0% of the training; 1,234 images per second" in short.text
    assert "the network waited" not in short.text
    assert "For 43.0% of the time the network waited for images. More processes that read" in long.text
    assert long.rows["None"][1] == ["1", "1.5000", "1.0000", "50.00%", "0", "1234.5", "43.0%"]
    assert "Waiting for images" not in write(judged(PREDICTIONS, LABELS), INSECTS).text


def test_every_table_can_be_scrolled_by_itself(write):
    page = write(judged(PREDICTIONS, LABELS), INSECTS, unreadable=[Failure(0, "a.png", "empty")])
    assert len(page.named("table")) == sum(each.get("class") == "scroll" for each in page.named("div"))


def test_the_page_counts_the_network_in_the_weight_file(write, weights):
    page = write(judged(PREDICTIONS, LABELS), INSECTS)
    network = store.load(weights)
    assert f"{sum(each.numel() for each in network.parameters()):,}" in page.text
    assert f"{network.spec.image[0]} × {network.spec.image[1]}" in page.text
    assert f"Weights {weights.stat().st_size / 1e3:.0f} kB best.safetensors" in page.text
    assert len(page.rows["blocks"]) == network.spec.depth + 4  # with stem, head, header and total


def test_mistakes_are_shown_with_the_most_confident_first_and_hits_apart(write):
    page = write(judged(PREDICTIONS, LABELS, confidence=[0.9, 0.9, 0.9, 0.6, 0.9, 0.9, 0.8, 0.5, 0.7]), INSECTS)
    shown = [each["alt"] for each in page.named("img")]
    assert shown == ["val[6]", "val[8]", "val[3]", "val[7]", "val[0]", "val[1]", "val[2]", "val[4]", "val[5]"]
    assert "said ant 80.0%" in page.text
    assert "is bee 10.0%" in page.text


def test_the_page_fetches_nothing_and_runs_nothing(write):
    page = write(judged(PREDICTIONS, LABELS), INSECTS, unreadable=[Failure(0, "<script>x</script>.jpg", "bad")])
    for tag, attributes in page.elements:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form"}
        assert not [name for name in attributes if name.startswith("on")]
        for name in attributes.keys() & {"src", "href", "srcset", "action", "data", "xlink:href"}:
            assert re.match(r"#|data:image/jpeg;base64,", attributes[name] or ""), (tag, name)
    assert not re.search(r"@import|url\((?!#)", page.source)
    policy = next(each for each in page.named("meta") if "http-equiv" in each)
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    anchors = [each["href"] for each in page.named("a")]
    assert {str(each)[1:] for each in anchors} <= {each["id"] for each in page.named("section")}
    assert page.open == []


def test_names_that_look_like_markup_or_are_no_text_are_shown_as_they_are(write, tmp_path):
    classes = ('<b>&"', "向日葵", "caf\udce9")
    files = ("<script>.jpg", "花.jpg", "\udcff.jpg")
    for name in files:
        Image.new("RGB", (300, 200), "red").save(tmp_path / name, "JPEG")
    images = FileImages(tmp_path, files, np.array([0, 1, 2]))
    page = write(judged([1, 2, 0], [0, 1, 2]), ImageData(str(tmp_path), classes, images, images))
    assert '<b>&"' not in page.source
    assert [row[0] for row in page.rows["scores"][1:4]] == ['<b>&"', "向日葵", r"caf\udce9"]
    assert [each["alt"] for each in page.named("img")] == [files[0], files[1], r"\udcff.jpg"]
    assert {'<b>&"', "向日葵"} <= {each.get("title") for each in page.named("bdi")}


def test_pictures_are_shrunk_to_160_pixels_and_one_that_is_gone_leaves_a_gap(write, tmp_path):
    Image.new("RGB", (640, 320), "red").save(tmp_path / "a.jpg")
    images = FileImages(tmp_path, ("a.jpg", "gone.jpg"), np.array([0, 1]))
    page = write(judged([1, 0], [0, 1]), ImageData("set", ("ant", "bee", "cat"), images, images))
    (picture,) = page.named("img")
    shown = Image.open(io.BytesIO(b64decode(str(picture["src"]).partition(",")[2])))
    assert shown.size == (160, 80)
    assert "cannot be read any more" in page.text


def test_images_that_could_not_be_read_are_listed_and_only_then(write):
    found = judged(PREDICTIONS, LABELS)
    assert "could not be read" not in write(found, INSECTS).text
    failures = [Failure(place, f"{place}.jpg", "it ends early") for place in range(120)]
    page = write(found, INSECTS, unreadable=failures)
    assert page.rows["files"][1] == ["0.jpg", "it ends early"]
    assert len(page.rows["files"]) == 101
    assert "And 20 more." in page.text


def test_a_run_without_a_mistake_shows_none(write):
    page = write(judged(LABELS, LABELS), INSECTS)
    assert "worst mistakes" not in page.text
    assert "No image was taken for another class." in page.text
    assert [row[-1] for row in page.rows["scores"][1:4]] == ["–", "–", "–"]


def test_many_classes_are_told_by_their_confused_pairs_and_not_by_a_matrix(write):
    classes = [f"kind {place}" for place in range(200)]
    labels = np.repeat(np.arange(200), 5)
    predictions = labels.copy()
    predictions[:5] = 7
    predictions[10:12] = 9
    page = write(judged(predictions, labels, classes=200), photographs(classes, labels, side=160))
    assert "matrix" not in page.rows
    assert "kind 0 for kind 7 5 of 5, 100.0%" in page.text
    assert page.text.index("kind 0 for kind 7") < page.text.index("kind 2 for kind 9")
    assert [row[0] for row in page.rows["scores"][1:4]] == ["kind 0", "kind 7", "kind 2"]
    assert len(page.rows["scores"]) == 16 + 202
    assert len(page.source) < 600_000


def test_the_largest_pictures_that_there_can_be_leave_the_page_below_two_megabytes(write):
    labels = np.repeat(np.arange(12), 10)
    predictions = np.where(np.arange(120) % 10 < 3, (labels + 1) % 12, labels)
    page = write(judged(predictions, labels, 12), photographs([str(each) for each in range(12)], labels, side=160))
    assert len(page.named("img")) == 12 + 12 * 6
    assert len(page.source) < 2_000_000  # of noise, which compresses worse than any photograph


def test_the_command_says_what_was_not_left_to_its_default(write):
    assert "graft train Nothing was said" in write(judged(PREDICTIONS, LABELS), INSECTS).text
    page = write(
        judged(PREDICTIONS, LABELS), INSECTS, options={"model": "botnet_pico", "data": "my photos", "lr": 1e-3}
    )
    assert "graft train --model botnet_pico --data 'my photos' --lr 0.001" in page.text
    assert ["--data", "my photos", "none"] in page.rows["options"]
    assert ["--seed", "0", "0"] in page.rows["options"]


def code_on(page: Page) -> list[str]:
    found = re.findall(r"<pre[^>]*><code>(.*?)</code></pre>", page.source, re.DOTALL)
    return [html.unescape(re.sub(r"<[^>]+>", "", each)) for each in found]


def test_the_commands_on_the_page_are_ones_that_graft_takes(write, tmp_path):
    options = {"data": "it's", "data_dir": tmp_path / "a b"}
    commands = code_on(write(judged(PREDICTIONS, LABELS), INSECTS, options=options))
    train, score, predict = (shlex.split(line) for each in commands[:2] for line in each.splitlines())
    verbs = {verb.name: verb for verb in VERBS}
    parsed = [(verbs[words[1]], parse(verbs[words[1]], words[2:])) for words in (train, score, predict)]
    chosen = [flat(verb.load().run, each.arguments) for verb, each in parsed]
    assert [each["data"] for each in chosen[:2]] == ["it's", "it's"]
    assert chosen[1]["data_dir"] == tmp_path / "a b"
    assert chosen[1]["weights"] == chosen[2]["weights"] == tmp_path / "run" / "best.safetensors"


def test_the_lines_of_python_on_the_page_run(write, tmp_path, monkeypatch, capsys):
    as_module, on_files = code_on(write(judged(PREDICTIONS, LABELS), INSECTS))[2:]
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 30)).save("photo.jpg")
    names: dict[str, object] = {}
    exec(as_module, names)
    assert names["larger"].spec.image[0] == names["network"].spec.image[0] * 3 // 2
    exec(on_files, names)
    assert re.match(r"photo.jpg \(\('(ant|bee|cat)', 0\.", capsys.readouterr().out)


def test_ink_can_be_read_on_every_shade_of_the_matrix_in_both_themes():
    css = (Path(report.__file__).parent / "templates" / "report.css").read_text(encoding="utf-8")
    deepest = float(re.search(r"rgb\(var\(--heat-right\) / calc\(var\(--heat\) \* ([.\d]+)\)\)", css)[1])
    themes = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    assert len(themes) == 2
    for theme in themes:
        page, ink, muted = (_color(theme, name) for name in ("page", "ink", "muted"))
        assert _contrast(muted, page) > 4.5
        for heat in ("right", "wrong"):
            assert _contrast(_color(theme, heat), page) > 4.5
            shade = np.array(re.search(rf"--heat-{heat}: (\d+) (\d+) (\d+);", theme).groups(), float)
            assert _contrast(ink, deepest * shade + (1 - deepest) * page) > 4.5


def _color(theme: str, name: str) -> np.ndarray:
    digits = re.search(rf"--{name}: #([0-9a-f]{{6}});", theme)[1]
    return np.array([int(digits[place : place + 2], 16) for place in (0, 2, 4)], float)


def _contrast(one: np.ndarray, other: np.ndarray) -> float:
    """As WCAG 2 defines it: from 1 to 21, and enough for text from 4.5 on."""
    luminances = []
    for color in (one, other):
        share = color / 255
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        luminances.append(float(linear @ [0.2126, 0.7152, 0.0722]))
    return (max(luminances) + 0.05) / (min(luminances) + 0.05)


def test_a_page_that_cannot_be_written_is_one_line_and_leaves_the_folder_as_it_was(write, tmp_path):
    (tmp_path / "run" / "report.html").mkdir(parents=True)
    with pytest.raises(RunError, match=r"report\.html cannot be written: .*The weights are in .*best\.safetensors"):
        write(judged(PREDICTIONS, LABELS), INSECTS)
    assert sorted(each.name for each in (tmp_path / "run").iterdir()) == [
        "best.safetensors",
        "metrics.csv",
        "report.html",
    ]


def test_pages_are_written_without_lightning(monkeypatch):
    for name in ("lightning", "lightning.fabric"):
        monkeypatch.setitem(sys.modules, name, None)  # whoever imports it now gets an ImportError
    monkeypatch.delitem(sys.modules, "visiongraft.train.fabric", raising=False)
    importlib.reload(report)
    with pytest.raises(ImportError):
        importlib.import_module("visiongraft.train.fabric")
