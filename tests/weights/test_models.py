"""Published weights become our networks, with whatever classes, channels and size are asked for."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save as to_bytes
from timm.models._manipulate import adapt_input_conv
from torch import Tensor, nn

import visiongraft as vg
from tests.parity.originals import difference, perturbed
from tests.weights.fake_hub import put_into_cache
from visiongraft.errors import GraftError, SpecError, UnknownModel, WeightsError

NAME = "coatnet_nano_rw_224"
TAG = "sw_in1k"


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    """Give timm's network, every number of it random."""
    torch.manual_seed(0)
    return perturbed(timm.create_model(NAME)).eval()


@pytest.fixture(scope="module")
def kept(theirs: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder in which its weights lie as if the hub had published them."""
    folder = tmp_path_factory.mktemp("kept")
    put_into_cache(folder, f"timm/{NAME}.{TAG}", to_bytes(theirs.state_dict()))
    return folder


@pytest.fixture(scope="module")
def file(kept: Path) -> Path:
    """Give the weights as a file of timm's."""
    return next(kept.rglob("model.safetensors"))


@pytest.fixture(scope="module")
def ours(kept: Path) -> vg.Network:
    return vg.create_model(NAME, pretrained=True, weights_dir=kept, offline=True).eval()


@pytest.fixture(scope="module")
def image() -> Tensor:
    torch.manual_seed(1)
    return torch.rand(1, 3, 224, 224)


def test_published_weights_give_the_originals_logits(ours: vg.Network, theirs: nn.Module, image: Tensor) -> None:
    with torch.no_grad():
        assert difference(ours(image), theirs(image)) < 1e-4


def same(first: nn.Module, second: nn.Module) -> bool:
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_tag_may_stand_in_either_place(kept: Path, ours: vg.Network) -> None:
    for name, pretrained in ((NAME, TAG), (f"{NAME}.{TAG}", True), (f"{NAME}.{TAG}", TAG), (NAME.upper(), True)):
        assert same(vg.create_model(name, pretrained=pretrained, weights_dir=kept, offline=True), ours)
    assert same(vg.create_model(vg.get_spec(NAME), pretrained=True, weights_dir=kept, offline=True), ours)


def test_preprocessing_classes_and_claims_come_along(kept: Path, ours: vg.Network) -> None:
    trained = vg.load_pretrained(NAME, weights_dir=kept, offline=True)
    assert same(trained.network, ours)
    assert not trained.network.training
    assert trained.preprocessing == vg.Preprocessing((224, 224), (0.5,) * 3, (0.5,) * 3, "bicubic", 0.9)
    assert (len(set(trained.classes)), trained.classes[0], trained.classes[281]) == (1000, "tench", "tabby")
    assert trained.scores == {"claimed_top1": 0.81704, "claimed_top5": 0.9565}
    other = vg.load_pretrained(NAME, image=(96, 128), weights_dir=kept, offline=True)
    assert same(other.network, ours.at((96, 128)))
    assert (other.preprocessing.image, other.preprocessing.crop, other.scores) == ((96, 128), 0.9, {})


def test_other_classes_get_a_fresh_classifier_and_the_rest_stays(kept: Path, ours: vg.Network) -> None:
    few = vg.create_model(NAME, pretrained=True, num_classes=7, weights_dir=kept, offline=True).eval()
    none = vg.create_model(NAME, pretrained=True, num_classes=0, weights_dir=kept, offline=True).eval()
    small = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        features = ours.forward_head(ours.forward_features(small), pre_logits=True)
        assert torch.equal(few.forward_head(few.forward_features(small), pre_logits=True), features)
        assert torch.equal(none(small), features)
        assert few(small).shape == (1, 7)
    assert few.get_classifier().weight.std() < 0.03, "it is a fresh one"


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_other_channels_change_the_first_convolution_as_in_timm(
    channels: int, kept: Path, ours: vg.Network, theirs: nn.Module
) -> None:
    model = vg.create_model(NAME, pretrained=True, in_chans=channels, weights_dir=kept, offline=True)
    expected = adapt_input_conv(channels, theirs.stem.conv1.weight)
    found = model.state_dict()["stem.0.weight"]
    assert torch.allclose(found, expected)
    rest = ours.state_dict() | {"stem.0.weight": found}
    assert all(torch.equal(each, rest[name]) for name, each in model.state_dict().items())


def test_gray_images_give_what_they_gave_in_three_channels(kept: Path, ours: vg.Network) -> None:
    model = vg.create_model(NAME, pretrained=True, in_chans=1, weights_dir=kept, offline=True).eval()
    gray = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        assert difference(model(gray), ours(gray.expand(-1, 3, -1, -1))) < 1e-4


@pytest.mark.parametrize("channels", [3, 4])
def test_a_gray_network_gives_for_each_channel_alike_what_it_gave_for_one(channels: int, tmp_path: Path) -> None:
    gray = vg.create_model("resnet_pico", num_classes=4, in_chans=1).eval()
    colour = vg.create_model(weights=vg.save(gray, tmp_path / "m.safetensors"), in_chans=channels).eval()
    images = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        assert difference(colour(images.expand(-1, channels, -1, -1)), gray(images)) < 1e-4


def test_everything_else_can_be_asked_for_beside_weights(kept: Path, ours: vg.Network) -> None:
    model = vg.create_model(NAME, pretrained=True, image=96, drop_path=0.3, dropout=0.2, weights_dir=kept)
    assert model.training
    assert (model.spec.image, model.spec.drop_path, model.spec.head.dropout) == ((96, 96), 0.3, 0.2)
    assert same(model, ours.at(96))
    small = torch.rand(1, 3, 64, 64)
    extractor = vg.create_model(NAME, pretrained=True, features_only=True, out_indices=(1, 4), weights_dir=kept).eval()
    with torch.no_grad():
        maps = ours.features(small)
        assert all(map(torch.equal, extractor(small), (maps["stage1"], maps["stage4"])))


def test_a_file_of_timms_needs_the_name_of_its_network(file: Path, ours: vg.Network) -> None:
    assert same(vg.create_model(NAME, weights=file), ours)
    plain, tagged = vg.read_weights(file, model=NAME), vg.read_weights(file, model=f"{NAME}.{TAG}")
    assert plain.preprocessing == tagged.preprocessing == vg.get_weight_set(NAME).preprocessing
    assert (plain.classes, len(tagged.classes)) == ((), 1000), "weights of one's own may tell apart other things"
    with pytest.raises(WeightsError, match="holds no network description.* Timm's are also read as they are"):
        vg.create_model(weights=file)
    with pytest.raises(WeightsError, match="These look like coatnet_nano_rw_224 weights"):
        vg.create_model("coatnet_0_rw_224", weights=file)


def test_a_file_and_a_name_have_the_crop_of_the_tests_at_their_size(
    kept: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = vg.get_weight_set(NAME)
    tested = replace(row, test=replace(row.preprocessing, image=(96, 96), crop=1.0))
    for module in ("models", "sources"):
        monkeypatch.setattr(f"visiongraft.weights.{module}.get_weight_set", lambda _: tested)
    for image, expected in ((96, tested.test), (64, row.preprocessing.at((64, 64))), (None, row.preprocessing)):
        by_name = vg.load_pretrained(NAME, image=image, weights_dir=kept, offline=True)
        by_file = vg.read_weights(file, model=f"{NAME}.{TAG}", image=image)
        assert by_name.preprocessing == by_file.preprocessing == expected
        assert same(by_name.network, by_file.network)


def test_a_file_of_timms_says_its_own_classes_channels_and_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tuned = perturbed(timm.create_model(NAME, num_classes=5, in_chans=1, img_size=160)).eval()
    (tmp_path / "m.safetensors").write_bytes(to_bytes(tuned.state_dict()))
    model = vg.create_model(NAME, weights=tmp_path / "m.safetensors").eval()
    assert (model.num_classes, model.spec.in_chans, model.spec.image) == (5, 1, (160, 160))
    gray = torch.rand(1, 1, 160, 160)
    with torch.no_grad():
        assert difference(model(gray), tuned(gray)) < 1e-4


def test_an_oblong_file_of_timms_is_read_at_the_size_that_is_asked_for(tmp_path: Path) -> None:
    name = "coatnet_pico_rw_224"
    torch.manual_seed(0)
    tuned = perturbed(timm.create_model(name, num_classes=5, img_size=(64, 128))).eval()
    (tmp_path / "m.safetensors").write_bytes(to_bytes(tuned.state_dict()))
    with pytest.raises(WeightsError, match=r"fit images of \(height, width\) \(64, 128\) as well as \(128, 64\)"):
        vg.read_weights(tmp_path / "m.safetensors", model=name)
    model = vg.create_model(name, weights=tmp_path / "m.safetensors", image=(64, 128)).eval()
    assert model.spec.image == (64, 128)
    images = torch.rand(1, 3, 64, 128)
    with torch.no_grad():
        assert difference(model(images), tuned(images)) < 1e-4


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    pre = vg.Preprocessing((64, 64), crop=1.0)
    return vg.save(vg.create_model("coatnet_pico", num_classes=3), tmp_path / "m.safetensors", preprocessing=pre)


def test_a_file_of_ours_says_its_network(saved: Path) -> None:
    model = vg.create_model(weights=saved)
    assert same(model, vg.load(saved))
    assert model.training
    assert same(vg.create_model("coatnet_pico", weights=saved), model)
    assert vg.create_model(weights=saved, num_classes=9).num_classes == 9
    assert vg.read_weights(saved).preprocessing.crop == 1.0
    with pytest.raises(
        WeightsError, match="^These are weights of coatnet_pico, and botnet_pico has other parts: they"
    ):
        vg.create_model("botnet_pico", weights=saved)


def test_a_spec_beside_weights_of_its_network_is_what_is_built(saved: Path) -> None:
    spec = vg.create_model("coatnet_pico", num_classes=11, image=96).spec
    model = vg.create_model(spec, weights=saved)
    assert model.spec == spec
    assert torch.equal(model.state_dict()["stem.0.weight"], vg.load(saved).state_dict()["stem.0.weight"])


RESNET = vg.get_spec("resnet_pico")
LAST = len(RESNET.stages) - 1
OTHERS = {
    f"Their stages[{LAST}].stride is 2, and here it is 1": replace(
        RESNET, stages=(*RESNET.stages[:-1], replace(RESNET.stages[-1], stride=1))
    ),
    f"Their stages[{LAST}].stride_in is 'block', and here it is 'pool'": replace(
        RESNET, stages=(*RESNET.stages[:-1], replace(RESNET.stages[-1], stride_in="pool"))
    ),
    "Their stem.act is 'relu', and here it is 'silu'": replace(RESNET, stem=replace(RESNET.stem, act="silu")),
    "Their head.norm_of is 'means', and here it is 'cells'": replace(
        RESNET, head=replace(RESNET.head, norm_of="cells")
    ),
    f"Their stages is {LAST + 1} long, and here it is {LAST} long": replace(RESNET, stages=RESNET.stages[:-1]),
}


@pytest.mark.parametrize("difference", OTHERS)
def test_weights_of_a_network_with_the_same_tensors_and_other_parts_are_refused(
    difference: str, tmp_path: Path
) -> None:
    path = vg.save(vg.create_model(RESNET, num_classes=3), tmp_path / "m.safetensors")
    spec = OTHERS[difference]
    for build in (lambda: vg.create_model(spec, weights=path), lambda: vg.read_weights(path, model=spec)):
        with pytest.raises(WeightsError) as refused:
            build()
        assert str(refused.value) == (
            "These are weights of another resnet_pico, and yours has other parts: they cannot be taken over."
            f" {difference}. Ask for it as the weights have it, or give weights of yours."
        )


def test_what_weights_are_fitted_to_makes_no_other_network(tmp_path: Path) -> None:
    path = vg.save(vg.create_model(RESNET, num_classes=3), tmp_path / "m.safetensors")
    spec = replace(RESNET, name="mine", image=(96, 64), in_chans=1, drop_path=0.1)
    spec = replace(spec, head=replace(spec.head, num_classes=5, dropout=0.1))
    assert vg.create_model(spec, weights=path).spec == spec


@pytest.mark.parametrize(
    ("choices", "kind", "text"),
    [
        (
            {"model": "resnet50", "output_stride": 16},
            SpecError,
            "create_model takes no output_stride: strides are those of the spec. Give a spec whose last stages have"
            " stride=1, as many as it takes, made with dataclasses.replace.",
        ),
        (
            {"img_size": 64},
            SpecError,
            "create_model takes no 'img_size'. What timm calls so is 'image' here. It takes",
        ),
        ({"num_clases": 6}, SpecError, "create_model takes no 'num_clases'. Did you mean 'num_classes'"),
        (
            {"window": 7},
            SpecError,
            "create_model takes no 'window'. It takes model, pretrained, weights, num_classes,",
        ),
        ({}, SpecError, "Which network? Name one, or give weights=FILE with one that visiongraft.save wrote."),
        (
            {"model": f"{NAME}.{TAG}"},
            SpecError,
            f"'{NAME}.{TAG}' names weights. To get them, add pretrained=True; or leave out '.{TAG}'.",
        ),
        (
            {"model": NAME, "pretrained": True, "weights": "x"},
            SpecError,
            "pretrained and weights are two places to take weights from. Give one of them.",
        ),
        (
            {"model": f"{NAME}.{TAG}", "pretrained": "other"},
            SpecError,
            f"'{NAME}.{TAG}' and pretrained='other' name two sets of weights. Give one of them.",
        ),
        (
            {"model": NAME, "pretrained": "sw_in2k"},
            UnknownModel,
            f"{NAME} has no published weights with the tag 'sw_in2k'. Did you mean 'sw_in1k'? There are: sw_in1k.",
        ),
        (
            {"model": "coatnet_0", "pretrained": True},
            WeightsError,
            "No weights are published for coatnet_0. Did you mean 'coatnet_0_rw_224' or 'coatnet_bn_0_rw_224' or"
            " 'coatnet_3_rw_224'? `graft list --pretrained` shows for which there are some; weights of your own are"
            " given as a file.",
        ),
        ({"model": "coatnet_9", "pretrained": True}, UnknownModel, "No network is named 'coatnet_9'."),
    ],
)
def test_what_makes_no_sense_together_is_refused(choices: dict, kind: type, text: str, kept: Path) -> None:
    with pytest.raises(kind) as refused:
        vg.create_model(**choices, weights_dir=kept, offline=True)
    assert str(refused.value).startswith(text)


def test_names_with_tags_are_listed() -> None:
    assert vg.list_models("coatnext*", pretrained=True) == ["coatnext_nano_rw_224.sw_in1k"]
    assert vg.list_models("cotnet*", pretrained=True) == []
    assert len(vg.list_models(pretrained=True)) < len(vg.list_models())


def test_nothing_looks_for_the_network_until_weights_are_asked_for(tmp_path: Path) -> None:
    program = f"""
import sys
asked = []
sys.addaudithook(lambda event, _: event in ("socket.connect", "socket.getaddrinfo") and asked.append(event))
import visiongraft as vg
path = vg.save(vg.create_model("resnet_pico"), {str(tmp_path / "m.safetensors")!r})
vg.load(path), vg.create_model(weights=path), vg.list_models(pretrained=True), vg.get_weight_set("coatnet_0_rw_224")
assert "huggingface_hub" not in sys.modules
assert not asked, asked
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model": ["a"]}, "A network is told by its name, or as a Backbone, not by a list."),
        ({"num_classes": "3"}, "num_classes is a whole number, not '3'."),
        ({"num_classes": True}, "num_classes is a whole number, not True."),
        ({"num_classes": 2.0}, "num_classes is a whole number, not 2.0."),
        ({"in_chans": "3"}, "in_chans is a whole number, not '3'."),
        ({"drop_path": "x"}, "drop_path is a probability in [0, 1), not 'x'."),
        ({"drop_path": -0.1}, "drop_path is a probability in [0, 1), not -0.1."),
        ({"dropout": True}, "dropout is a probability in [0, 1), not True."),
        ({"image": True}, "An image size is one number of pixels, or (height, width), not True."),
        ({"image": b"64"}, "An image size is one number of pixels, or (height, width), not b'64'."),
        ({"image": 10**9}, "An image has at most 8192 pixels a side, not 1000000000."),
    ],
)
def test_what_is_no_name_number_or_size_is_refused_with_weights_and_without(
    given: dict, said: str, tmp_path: Path
) -> None:
    path = vg.save(vg.create_model("resnet_pico", num_classes=3), tmp_path / "m.safetensors")
    for ways in ({}, {"weights": path}):
        with pytest.raises(GraftError) as refused:
            vg.create_model(**{"model": "resnet_pico"} | ways | given)
        assert str(refused.value) == said


def test_whole_numbers_may_be_of_numpy(tmp_path: Path) -> None:
    network = vg.create_model("resnet_pico", num_classes=np.int64(3), in_chans=np.int64(1))
    assert vg.load(vg.save(network, tmp_path / "m.safetensors")).num_classes == 3
