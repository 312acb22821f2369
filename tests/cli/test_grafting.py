"""Networks of others and grafts behind the command's options."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save as to_bytes
from torchvision import models

from tests.cli.running import answer, complaint
from tests.pictures import write_npz
from tests.train import pair
from tests.weights.fake_hub import put_into_cache
from visiongraft import vocabulary
from visiongraft.cli.grafting import parse_grafts
from visiongraft.compare import trials
from visiongraft.compare.folder import ComparisonFolder
from visiongraft.compare.speed import measure_speeds
from visiongraft.surgery.foreign import Foreign, Grafted
from visiongraft.surgery.network import build
from visiongraft.weights.store import read

PLUGIN = f"""{pair.PLUGIN}
@dataclass(frozen=True)
class Wide:
    def build(self, site):
        return nn.Conv2d(site.in_width, site.width, 3, stride=site.stride, padding=2, dilation=2)
"""

SHORT = ("--image", "32", "--batch-size", "8", "--epochs", "1", "--workers", "0")
SQUEEZENET = ("--model", "torchvision:squeezenet1_1", *SHORT)
SMALL = ("--model", "timm:test_resnet", *SHORT)
GRAFTS = "layer4.*.conv2=Window(kernel=5); layer3+=GridAttention(heads=2, position='absolute')"


def scene(place: Path) -> Path:
    """Write a picture of one of ImageNet's classes."""
    file = place / "scene" / "val" / "tench" / "1.png"
    file.parent.mkdir(parents=True)
    Image.new("RGB", (40, 30), "green").save(file)
    return place / "scene"


def few(path: Path) -> Path:
    """Write as few images as a training takes."""
    return write_npz(path, train=8, val=4)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a user's file; what it adds to the vocabulary is forgotten afterwards."""
    monkeypatch.setattr(vocabulary, "_WORDS", dict(vocabulary._WORDS))
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    yield path
    for name in [each for each in sys.modules if each.startswith("visiongraft_plugin_")]:
        del sys.modules[name]


def test_a_grafted_network_of_others_trains_resumes_and_is_scored_with_mixers_of_a_users_own(
    tmp_path: Path, plugin: Path, capsys: pytest.CaptureFixture
) -> None:
    data, run = few(tmp_path / "stripes.npz"), tmp_path / "run"
    command = ("train", *SMALL, "--graft", GRAFTS, "--plugin", plugin, "--data", data, "--output", run)
    found = answer(capsys, *command)
    trained = read(run / "best.safetensors").network
    assert [type(each.mixer).__name__ for each in trained.spec.grafts] == ["Window", "GridAttention"]
    assert tuple(trained.body.layer4[0].conv2.weight.shape[2:]) == (5, 5)
    assert "timm_test_resnet+window-kernel=5-at-layer4.conv2+gridattention-" in (run / "report.html").read_text(
        encoding="utf-8"
    )
    scored = answer(capsys, "eval", run, "--data", data, "--plugin", plugin)
    assert scored["top1"] == found["val_top1"]
    assert answer(capsys, "train", "--resume", run)["val_top1"] == found["val_top1"]
    told = answer(capsys, "info", run, "--plugin", plugin)
    assert told["num_classes"] == 2
    assert told["params"] == sum(each.numel() for each in trained.parameters())


def test_a_graft_begins_with_weights_of_the_network_before_it(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    torch.manual_seed(0)
    network = models.squeezenet1_1()
    checkpoint = tmp_path / "squeezenet.pth"
    torch.save(network.state_dict(), checkpoint)
    run, data = tmp_path / "run", few(tmp_path / "stripes.npz")
    options = ("--weights", checkpoint, "--freeze", "features", "--lr", "1e-6", "--output", run)
    graft = ("--graft", "features.12.expand3x3=GridAttention(heads=4)")
    found = answer(capsys, "train", *SQUEEZENET, *graft, *options, "--data", data)
    body = read(run / "best.safetensors").network.body
    parts = dict(network.named_parameters())
    kept = [name for name in parts if not name.startswith(("features.12.expand3x3", "classifier"))]
    assert all(torch.equal(body.get_parameter(name), parts[name]) for name in kept)
    share = sum(parts[name].numel() for name in kept) / sum(each.numel() for each in parts.values())
    assert f"{share:.1%} of the weights of torchvision_squeezenet1_1 are kept." in found["notes"]


def test_a_network_of_others_begins_with_the_weights_that_its_library_publishes(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    network = timm.create_model("test_resnet")
    put_into_cache(tmp_path / "kept", "timm/test_resnet.r160_in1k", to_bytes(network.state_dict()))
    kept = ("--pretrained", "--weights-dir", tmp_path / "kept", "--offline", "--freeze", "layer*", "--lr", "1e-9")
    files = ("--data", few(tmp_path / "stripes.npz"), "--output", tmp_path / "run")
    found = answer(capsys, "train", *SMALL, *kept, *files, "--graft", "layer3+=GridAttention(heads=2)")
    body = read(tmp_path / "run" / "best.safetensors").network.body
    assert torch.equal(body.layer4[0].conv2.weight, network.layer4[0].conv2.weight)
    (note,) = found["notes"]
    assert note.endswith("% of the weights of timm_test_resnet are kept.")
    assert answer(capsys, "train", "--resume", tmp_path / "run")["val_top1"] == found["val_top1"]
    scored = answer(capsys, "eval", "timm:test_resnet.r160_in1k", "--data", scene(tmp_path), *kept[1:4])
    assert scored["images"] == 1


def test_a_network_is_compared_with_its_grafted_forms(
    tmp_path: Path, plugin: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "measure_speeds", lambda *args, **more: measure_speeds(*args, **more, patience=0.0))
    data = few(tmp_path / "stripes.npz")
    grafts = "layer4.*.conv2=Window() | layer4.*.conv2=Window(kernel=5); layer3+=GridAttention(heads=2)"
    asked = ("--models", "timm:test_resnet", *SHORT, "--seeds", "2", "--graft", grafts, "--plugin", plugin)
    found = answer(capsys, "compare", *asked, "--data", data, "--output", tmp_path / "found")
    names = [
        "timm_test_resnet",
        "timm_test_resnet+window-at-layer4.conv2",
        "timm_test_resnet+window-kernel=5-at-layer4.conv2+gridattention-heads=2-after-layer3",
    ]
    assert [each["model"] for each in found["models"]] == names
    assert found["models"][2]["params"] > found["models"][1]["params"]
    config = ComparisonFolder(tmp_path / "found").run(names[2], 1).config.read_text()
    assert "model: timm:test_resnet\n" in config
    assert "graft: layer4.*.conv2=Window(kernel=5); layer3+=GridAttention(heads=2)\n" in config
    assert f"plugin: {plugin}\n" in config


def test_grafted_forms_are_compared_from_one_file_of_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "measure_speeds", lambda *args, **more: measure_speeds(*args, **more, patience=0.0))
    checkpoint, data = tmp_path / "mine.pth", few(tmp_path / "stripes.npz")
    network = timm.create_model("test_resnet")
    torch.save(network.state_dict(), checkpoint)
    model, still = ("--models", "timm:test_resnet", *SHORT), ("--lr", "1e-9", "--seeds", "2", "--data", data)
    asked = ("compare", *model, *still, "--graft", "layer3+=Conv()", "--output", tmp_path / "found")
    answer(capsys, *asked, "--weights", checkpoint)
    folder = ComparisonFolder(tmp_path / "found")
    for name in ("timm_test_resnet", "timm_test_resnet+conv-after-layer3"):
        body = read(folder.run(name, 1).best).network.body
        torch.testing.assert_close(body.layer4[0].conv2.weight, network.layer4[0].conv2.weight)
        assert f"weights: {checkpoint}\n" in folder.run(name, 1).config.read_text()
    text = complaint(capsys, *asked)
    assert "holds another comparison: it has other weights to begin with." in text
    two = (*asked[:2], "timm:test_resnet,resnet_pico", *asked[3:], "--weights", checkpoint)
    assert complaint(capsys, *two) == (
        f"graft: --weights {checkpoint} is of one network, and --models names 2. Name that one, or use --pretrained,"
        " by which each begins with its own.\n"
    )


def test_info_tells_of_a_network_of_others(capsys: pytest.CaptureFixture) -> None:
    options = ("--image", "64", "--num-classes", "5", "--graft", "layer4.*.conv2=GridAttention(heads=4)")
    found = answer(capsys, "info", "torchvision:resnet18", *options)
    assert found["name"] == "torchvision_resnet18+gridattention-at-layer4.conv2"
    spec = Foreign("torchvision:resnet18", num_classes=5, image=(64, 64))
    grafted = build(Grafted(spec, parse_grafts("layer4.*.conv2=GridAttention(heads=4)", None)))
    assert found["params"] == sum(each.numel() for each in grafted.parameters())
    assert found["smallest_image"] == 1
    assert [each["name"] for each in found["stages"]][-4:] == ["layer4.0", "layer4.1", "avgpool", "fc"]
    assert found["stages"][-4]["grid"] == [2, 2] and found["stages"][-4]["stride"] == 32


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ("--graft", "layer4.*.conv2"),
            "--graft takes PLACE=MIXER, as layer4.*.conv2=GridAttention(heads=4), or PLACE+=MIXER to insert one, and"
            " got 'layer4.*.conv2'.",
        ),
        (
            ("--graft", "features.9+=GridAttension()"),
            "The vocabulary has no word 'GridAttension'. Did you mean 'GridAttention'?",
        ),
        (
            ("--graft", "features.9+=GridAttention(4)"),
            "'GridAttention(4)' cannot be read. Write a word with its choices by name, as GridAttention(heads=4).",
        ),
        (
            ("--graft", "features.9+=__import__('os').system('true')"),
            "\"__import__('os').system('true')\" cannot be read. Write a word with its choices by name, as"
            " GridAttention(heads=4).",
        ),
        (
            ("--graft", "features.9+=SqueezeExcite()"),
            "'features.9' takes no SqueezeExcite, whose build raised ",
        ),
        (
            ("--graft", "features.90+=GridAttention()"),
            "No module of this SqueezeNet is at 'features.90'.",
        ),
        (
            ("--graft", "features.9+=GridAttention()", "--graft-lose", "stride"),
            "A mixer may lose 'groups' and 'dilation', not 'stride'.",
        ),
        (("--graft-lose", "groups"), "--graft-lose came without --graft, and means nothing then."),
        (("--plugin", "nowhere.py"), "--plugin nowhere.py cannot be read: No such file or directory."),
        (
            ("--graft", "features.12.expand33=GridAttention()"),
            "No module of this SqueezeNet is at 'features.12.expand33'. Did you mean 'features.12.expand3x3' or ",
        ),
        (
            ("--graft", "features.12.squeeze=GridAttention()"),
            "'features.12.squeeze' is a 1x1 convolution, and a mixer replaces spatial convolutions. Did you mean ",
        ),
        (
            ("--graft", "features.12=GridAttention()"),
            "'features.12' is a Fire, and a mixer replaces spatial convolutions. Did you mean"
            " 'features.12.expand3x3'?",
        ),
        (
            ("--graft", "features.12.expand3x3=GridAttention(heads=7)"),
            "'features.12.expand3x3' takes no GridAttention: GridAttention(heads=7) does not divide a width of 256.",
        ),
        (
            ("--model", "timm:test_efficientnet", "--graft", "blocks.4.*.conv_dw=GridAttention()"),
            "'blocks.4.0.conv_dw' has 192 groups, which GridAttention cannot keep. If they may go, say"
            " lose=('groups',), or --graft-lose groups.",
        ),
        (
            ("--graft", "features.12.expand3x3=Wide(); features.12.expand3x3=GridAttention()"),
            "'features.12.expand3x3' has a dilation of 2x2, which GridAttention cannot keep. If it may go, say"
            " lose=('dilation',), or --graft-lose dilation.",
        ),
        (
            ("--model", "torchvision:swin_t", "--image", "1", "--graft", "features.1.0+=GridAttention()"),
            "This SwinTransformer cannot be followed with images of 3x1x1 on the meta device (",
        ),
        (
            ("--graft", "features.9+=Conv() | features.9+=Conv(kernel=5)"),
            "--graft has | between grafts of several networks for `graft compare`, and ; for one network.",
        ),
        (
            ("--pretrained", "--offline", "--weights-dir", "nowhere"),
            "torchvision:squeezenet1_1.imagenet1k_v1 is not in nowhere, and nothing may be fetched (--offline): fetch"
            " https://",
        ),
        (
            ("--model", "torchvision:squeezenet1_1.imagenet1k_v1"),
            "--model torchvision:squeezenet1_1.imagenet1k_v1 names weights. To begin with them, add --pretrained; or",
        ),
    ],
)
def test_what_cannot_be_grafted_is_refused_before_the_run(
    words: tuple[str, ...], text: str, plugin: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    output = tmp_path / "run"
    found = complaint(capsys, "train", *SQUEEZENET, "--plugin", plugin, *words, "--output", output)
    assert found.startswith(f"graft: {text}")
    assert not output.exists()


def test_a_plugin_that_breaks_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import nothing_of_that_name\n")
    found = complaint(capsys, "train", *SQUEEZENET, "--plugin", path)
    assert found == (
        f"graft: --plugin {path} cannot be run: ModuleNotFoundError: No module named 'nothing_of_that_name'\n"
    )


def test_grafts_are_read_as_they_are_written() -> None:
    first, second = parse_grafts("layer4.*.conv2 = Conv(kernel=5);layer3+=ContextualTransformer;", "groups")
    assert (first.at, first.mode, first.mixer.kernel, first.lose) == ("layer4.*.conv2", "replace", 5, ("groups",))
    assert (second.at, second.mode, type(second.mixer).__name__) == ("layer3", "insert", "ContextualTransformer")
