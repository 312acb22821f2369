"""Grafted networks as values: in files, at other sizes, in another interpreter."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

import visiongraft as vg
from tests.surgery.strangers import STRANGERS
from visiongraft import vocabulary
from visiongraft.blocks.positions import PositionTables
from visiongraft.errors import GraftError, SpecError, SurgeryError, UnknownModel, WeightsError
from visiongraft.network import Network
from visiongraft.surgery.foreign import Foreign, Grafted, read_blueprint
from visiongraft.surgery.network import ForeignNetwork, build, check_takes
from visiongraft.surgery.planting import Inserted
from visiongraft.surgery.words import Graft

SQUEEZENET = Foreign("torchvision:squeezenet1_1", num_classes=5, image=(64, 64))
IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
OTHER_SIZE = torch.rand(1, 3, 96, 75, generator=torch.Generator().manual_seed(1))
INSERT = Graft("features.[89]", vg.GridAttention(heads=4), "insert")
REPLACE = Graft("features.12.expand3x3", vg.GridAttention(heads=4))


def wake(network: nn.Module) -> None:
    for each in network.modules():
        if isinstance(each, Inserted):
            nn.init.ones_(each.scale.gamma)


@pytest.fixture(scope="module")
def squeezenet() -> ForeignNetwork:
    torch.manual_seed(0)
    network = build(Grafted(SQUEEZENET, (REPLACE, INSERT))).eval()
    assert isinstance(network, ForeignNetwork)
    wake(network)
    return network


def test_a_grafted_network_is_a_value_that_a_document_holds() -> None:
    value = Grafted(SQUEEZENET, (REPLACE, INSERT, Graft("features.3", vg.Conv(5), lose=("groups",))))
    assert read_blueprint(value.to_dict()) == value
    assert [each.name for each in value.grafts] == [
        "gridattention-at-features.12.expand3x3",
        "gridattention-after-features.89",
        "conv-kernel=5-at-features.3",
    ]
    assert Grafted(SQUEEZENET, (REPLACE,)).name == "torchvision_squeezenet1_1+gridattention-at-features.12.expand3x3"
    assert value.at(96).image == (96, 96)
    own = Grafted(vg.get_spec("botnet_pico"), (INSERT,))
    assert read_blueprint(own.to_dict()) == own


def test_the_name_of_a_grafted_network_may_be_that_of_a_folder_and_tells_grafts_apart() -> None:
    grafts = [
        Graft("**.conv2", vg.GridAttention(heads=2, position="absolute")),
        Graft("*", vg.GridAttention(heads=2), "insert"),
        Graft("stages.[!01].blocks.*.conv_dw", vg.Conv(5)),
    ]
    assert [each.name for each in grafts] == [
        "gridattention-heads=2-position=absolute-at-conv2",
        "gridattention-heads=2-after-all",
        "conv-kernel=5-at-stages.01.blocks.conv_dw",
    ]
    long, longer = (Grafted(SQUEEZENET, tuple(grafts * times)).name for times in (2, 3))
    assert long != longer
    assert max(len(long), len(longer)) < 130


def test_a_file_of_a_grafted_network_is_all_that_is_needed(squeezenet: ForeignNetwork, tmp_path: Path) -> None:
    path = vg.save(squeezenet, tmp_path / "grafted.safetensors", classes=list("abcde"))
    found = vg.load(path)
    assert found.spec == squeezenet.spec
    assert torch.equal(found(OTHER_SIZE), squeezenet(OTHER_SIZE))
    assert "features.12.expand3x3.qkv.weight" in found.body.state_dict()


def test_a_file_is_read_for_another_size(squeezenet: ForeignNetwork, tmp_path: Path) -> None:
    path = vg.save(squeezenet, tmp_path / "grafted.safetensors")
    larger = vg.load(path, image=(96, 75))
    grids = {name: each.grid for name, each in larger.named_modules() if isinstance(each, PositionTables)}
    assert sorted(grids.values()) == [(5, 4), (5, 4), (5, 4)]
    torch.testing.assert_close(larger(OTHER_SIZE), squeezenet(OTHER_SIZE))
    again = vg.save(larger, tmp_path / "larger.safetensors")
    assert torch.equal(vg.load(again)(OTHER_SIZE), larger(OTHER_SIZE))


def test_what_only_its_user_can_build_is_loaded_into_it(tmp_path: Path) -> None:
    network = STRANGERS["torchvision's ResNet"].awake()
    grafted = vg.graft(network, "layer4.*", vg.GridAttention(heads=4), mode="insert", example=IMAGES).network
    wake(grafted)
    path = vg.save(grafted, tmp_path / "mine.safetensors")
    with pytest.raises(WeightsError) as refusal:
        vg.load(path)
    assert str(refusal.value) == (
        f"The network in {path} cannot be built again: 'own:ResNet' is a network that only you can build. Give it, as"
        " in visiongraft.load(FILE, base=NET)."
    )
    bare = STRANGERS["torchvision's ResNet"].make()
    found = vg.load(path, base=bare)
    assert type(found.body) is type(network)
    assert found.spec.num_classes == 5
    assert torch.equal(found(OTHER_SIZE), grafted(OTHER_SIZE))
    assert not any("graft" in name for name, _ in bare.named_modules())
    with pytest.raises(WeightsError, match="does not fit the network that it describes"):
        vg.load(path, base=STRANGERS["torchvision's ResNeXt"].make())


def test_a_grafted_network_of_ours_keeps_its_methods_and_its_file_says_what_it_is(tmp_path: Path) -> None:
    network = vg.create_model("resnet_pico", num_classes=5).eval()
    grafted = vg.graft(network, "stages.2.*", vg.GridAttention(heads=4), mode="insert").network
    wake(grafted)
    assert isinstance(grafted, Network)
    assert grafted.features(IMAGES).keys() == network.features(IMAGES).keys()
    larger = grafted.at(96)
    grids = [each.grid for each in larger.modules() if isinstance(each, PositionTables)]
    assert grids == [(12, 12), (12, 12)]
    torch.testing.assert_close(larger(OTHER_SIZE), grafted(OTHER_SIZE))
    for each in (grafted, larger):
        found = vg.load(vg.save(each, tmp_path / "ours.safetensors"))
        assert found.spec == Grafted(each.spec, (Graft("stages.2.*", vg.GridAttention(heads=4), "insert"),))
        assert torch.equal(found(IMAGES), each(IMAGES))


def test_a_network_of_others_without_grafts_is_a_value_too(tmp_path: Path) -> None:
    network = build(SQUEEZENET).eval()
    assert torch.equal(vg.load(vg.save(network, tmp_path / "bare.safetensors"))(IMAGES), network(IMAGES))
    assert network.smallest_image == 17
    report = vg.graft(network, "features.3", vg.GridAttention(heads=4), mode="insert").report
    assert report.example == (1, 3, 64, 64)


def test_a_network_that_looks_at_numbers_while_it_is_built_is_saved_and_loaded(tmp_path: Path) -> None:
    network = build(Foreign("torchvision:regnet_y_400mf", num_classes=2, image=(64, 64))).eval()
    path = vg.save(network, tmp_path / "regnet.safetensors")
    assert torch.equal(vg.load(path)(IMAGES), network(IMAGES))
    check_takes(network.spec, (64, 96))


def test_networks_of_timm_are_values_as_well(tmp_path: Path) -> None:
    value = Foreign("timm:test_resnet", num_classes=5, image=(64, 64), in_chans=1)
    grafted = vg.graft(build(value).eval(), "layer4.*.conv2", vg.GridAttention(heads=4)).network
    found = vg.load(vg.save(grafted, tmp_path / "grafted.safetensors"))
    assert found.spec == Grafted(value, (Graft("layer4.*.conv2", vg.GridAttention(heads=4)),))
    images = torch.rand(2, 1, 70, 96)
    assert torch.equal(found(images), grafted(images))


PLUGIN = """
from dataclasses import dataclass
from torch import nn
import visiongraft as vg

@vg.register
@dataclass(frozen=True)
class Shift:
    by: int = 1

    def build(self, site):
        return nn.Conv2d(site.in_width, site.width, 3, stride=site.stride, padding=1)
"""


def test_a_mixer_of_a_user_is_found_again_where_its_file_has_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocabulary, "_WORDS", dict(vocabulary._WORDS))
    names: dict[str, object] = {"__name__": "tests.surgery.test_files"}
    exec(PLUGIN, names)
    grafted = vg.graft(build(SQUEEZENET).eval(), "features.12.expand3x3", names["Shift"](2)).network
    path = vg.save(grafted, tmp_path / "x.safetensors")
    del vocabulary._WORDS["Shift"]  # as in a process that has not run the file
    with pytest.raises(WeightsError) as refusal:
        vg.load(path)
    assert str(refusal.value) == (
        f"{path} describes its network by a word that is not known here: The vocabulary has no word 'Shift'. If it is"
        " a mixer of somebody's own, run what registers it first, or give that file as --plugin."
    )
    exec(PLUGIN, {"__name__": "tests.surgery.test_files"})
    assert torch.equal(vg.load(path)(IMAGES), grafted(IMAGES))


@dataclass(frozen=True)
class Unknown:
    def build(self, site: vg.Site) -> nn.Module:
        return nn.Identity()


def test_a_mixer_that_no_file_could_name_is_refused(tmp_path: Path) -> None:
    grafted = vg.graft(build(SQUEEZENET), "features.3", Unknown(), mode="insert").network
    with pytest.raises(SpecError) as refusal:
        vg.save(grafted, tmp_path / "x.safetensors")
    assert str(refusal.value) == "Unknown is not in the vocabulary. Add it with visiongraft.register(Unknown)."


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, image: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return self.conv(image * scale)


def test_what_no_value_describes_is_refused(tmp_path: Path) -> None:
    example = (IMAGES, torch.ones(1))
    grafted = vg.graft(Pair(), "conv", vg.GridAttention(heads=2), mode="insert", example=example).network
    with pytest.raises(SurgeryError) as refusal:
        vg.save(grafted, tmp_path / "x.safetensors")
    assert str(refusal.value) == (
        "This Pair was grafted by an example that is no batch of images, so no value describes it."
    )


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (
            lambda: Foreign("resnet50"),
            SpecError,
            "A network of others is named as torchvision:resnet50, not 'resnet50'.",
        ),
        (
            lambda: Foreign("torchvison:resnet50"),
            UnknownModel,
            "'torchvison:resnet50' names the library 'torchvison', and known are timm, torchvision. Did you mean"
            " 'torchvision'?",
        ),
        (
            lambda: build(Foreign("torchvision:resnet51")),
            UnknownModel,
            "torchvision has no classifier 'resnet51'. Did you mean 'resnet50' or 'resnet18' or 'resnet152'?",
        ),
        (
            lambda: build(Foreign("torchvision:resnet18", in_chans=1)),
            SpecError,
            "Networks of torchvision take 3 channels, and 1 are asked for.",
        ),
        (
            lambda: build(Foreign("timm:test_resnett")),
            UnknownModel,
            "timm has no network 'test_resnett'. Did you mean 'test_resnet' or ",
        ),
        (lambda: SQUEEZENET.at("large"), SpecError, "An image size is one number of pixels, or (height, width), not"),
    ],
)
def test_what_no_library_builds_is_refused_in_one_line(make: object, kind: type[GraftError], text: str) -> None:
    with pytest.raises(kind) as refusal:
        make()
    assert str(refusal.value).startswith(text)


def test_a_file_of_a_grafted_network_is_no_network_of_the_zoo(squeezenet: ForeignNetwork, tmp_path: Path) -> None:
    path = vg.save(squeezenet, tmp_path / "grafted.safetensors")
    text = f"{path} holds {squeezenet.spec.name}, which is no network of the zoo. visiongraft.load reads it."
    for ask in ({"weights": path}, {"weights": path, "model": "resnet50"}):
        with pytest.raises(WeightsError) as refusal:
            vg.create_model(**ask)
        assert str(refusal.value) == text
    with pytest.raises(WeightsError, match="cannot be kept as a folder, which is for networks of a Backbone"):
        vg.save_pretrained(squeezenet, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
