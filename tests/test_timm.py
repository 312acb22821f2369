"""Registered with timm, our networks do what timm's own do: what its tests ask of those is asked of ours."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.data import create_transform, resolve_model_data_config
from timm.models import FeatureInfo, group_parameters
from timm.optim import create_optimizer_v2, param_groups_layer_decay
from torch import Tensor, nn

import visiongraft.timm as door
from tests.networks import PICOS
from visiongraft.errors import SpecError, WeightsError
from visiongraft.families.zoo import get_spec, list_models
from visiongraft.network import FeatureExtractor, Network
from visiongraft.preprocessing import Preprocessing
from visiongraft.weights.convert import convert
from visiongraft.weights.models import create_model
from visiongraft.weights.sources import WEIGHT_SETS, preprocessing_for
from visiongraft.weights.store import load, save

NAMES = [f"vg_{name}" for name in list_models()]
SMALL = [f"vg_{name}" for name in PICOS]
LARGER_HEAD = "vg_sebotnet33ts_256"  # its last map is not that of its last stage
SHAPES = [*SMALL, LARGER_HEAD]
OWN_CLASSES = ["list", "dict", "hook", "getter"]


def test_every_network_of_the_zoo_is_registered_and_nothing_else() -> None:
    assert sorted(timm.list_models("vg_*")) == sorted(NAMES)
    assert sorted(timm.list_models(module="timm")) == sorted(NAMES)
    assert set(timm.list_models("vg_*", pretrained=True)) == {f"vg_{each.name}" for each in WEIGHT_SETS}
    assert all(timm.is_model(name) and getattr(door, name) is timm.model_entrypoint(name) for name in NAMES)
    assert set(NAMES) <= set(door.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_a_registered_network_is_that_of_the_zoo_and_its_configuration_fits_it(name: str) -> None:
    spec = get_spec(name.removeprefix("vg_"))
    with torch.device("meta"):
        network = timm.create_model(name, num_classes=spec.head.num_classes).eval()
    assert isinstance(network, Network)
    assert network.spec == spec
    cfg = network.default_cfg
    assert cfg is network.pretrained_cfg
    assert (
        timm.get_pretrained_cfg(name).to_dict()
        == cfg
        == door.default_cfgs[name].default.to_dict()
        | {
            "architecture": name,
            **({"tag": door.default_cfgs[name].tags[0]} if door.default_cfgs[name].tags[0] else {}),
        }
    )
    assert cfg["input_size"] == (3, *(preprocessing_for(spec.name) or Preprocessing(spec.image)).image)
    assert {f"{cfg['first_conv']}.weight", f"{cfg['classifier']}.weight"} <= network.state_dict().keys()
    assert network.get_submodule(cfg["first_conv"]).in_channels == 3
    assert network.get_submodule(cfg["classifier"]) is network.get_classifier()
    assert cfg["pool_size"] == spec.grids(cfg["input_size"][1:])[-1]
    modules = dict(network.named_modules())
    assert [each["module"] in modules for each in network.feature_info] == [True] * len(spec.widths)


def test_the_size_and_crop_of_the_authors_tests_are_timms_own() -> None:
    for each in WEIGHT_SETS:
        ours, theirs = timm.get_pretrained_cfg(f"vg_{each.name}"), timm.get_pretrained_cfg(each.name)
        assert (ours.test_input_size, ours.test_crop_pct) == (theirs.test_input_size, theirs.test_crop_pct), each.name


def test_the_configuration_of_its_images_is_resolved_by_timm() -> None:
    network = timm.create_model("vg_se_cotnetd152", num_classes=0)
    config = resolve_model_data_config(network)
    assert config["input_size"] == (3, 256, 256)
    assert (config["mean"], config["std"]) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert (config["interpolation"], config["crop_pct"]) == ("bicubic", 0.888)
    assert create_transform(**config)(pytest.importorskip("PIL.Image").new("RGB", (300, 280))).shape == (3, 256, 256)


@pytest.mark.parametrize("name", SHAPES)
def test_the_parts_of_a_network_follow_one_another_and_its_head_can_be_taken_off(name: str) -> None:
    network = timm.create_model(name).eval()
    images = torch.randn(1, *network.default_cfg["input_size"])
    grid = network.default_cfg["pool_size"]
    maps = network.forward_features(images)
    before = network.forward_head(maps, pre_logits=True)
    assert maps.shape == (1, network.num_features, *grid)
    assert before.shape == (1, network.head_hidden_size)
    torch.testing.assert_close(network.forward_head(maps), network(images))
    network.reset_classifier(7)
    assert (network(images).shape, network.num_classes) == ((1, 7), 7)
    network.reset_classifier(0)
    assert network.num_classes == 0
    torch.testing.assert_close(network(images), before)
    network.reset_classifier(0, "")
    torch.testing.assert_close(network(images), maps)
    network.reset_classifier(3, "avg")
    assert network(images).shape == (1, 3)
    bare = timm.create_model(name, num_classes=0, global_pool="").eval()
    assert bare(images).shape == maps.shape


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_learns(name: str) -> None:
    network = timm.create_model(name, num_classes=42).train()
    found = network(torch.randn(2, 3, 64, 64))
    found.mean().backward()
    assert found.shape == (2, 42)
    assert [key for key, each in network.named_parameters() if each.grad is None] == []


def test_timms_arguments_are_those_of_ours() -> None:
    network = timm.create_model(
        "vg_botnet_pico",
        num_classes=5,
        in_chans=1,
        img_size=(96, 64),
        drop_rate=0.25,
        drop_path_rate=0.5,
        dtype=torch.bfloat16,
        device="meta",
    )
    ours = create_model("botnet_pico", num_classes=5, in_chans=1, image=(96, 64), dropout=0.25, drop_path=0.5)
    assert network.spec == ours.spec
    assert network.in_chans == 1
    assert {(each.dtype, each.device.type) for each in network.parameters()} == {(torch.bfloat16, "meta")}
    assert timm.models.get_model_traits(network)["img_size"] == (96, 64)


@pytest.mark.parametrize("name", SHAPES)
def test_features_only_gives_timms_feature_info_and_the_maps_that_it_describes(name: str) -> None:
    extractor = timm.create_model(name, features_only=True).eval()
    info, images = extractor.feature_info, torch.randn(2, 3, 96, 64)
    assert isinstance(info, FeatureInfo)
    assert_described(extractor(images), info, images)
    first_and_last = timm.create_model(name, features_only=True, out_indices=(0, -1)).eval()
    assert_described(first_and_last(images), first_and_last.feature_info, images)
    assert len(first_and_last(images)) == 2
    assert timm.create_model(name, features_only=True, out_indices=1).feature_info.channels() == info.channels()[-1:]
    assert resolve_model_data_config(extractor)["input_size"] == timm.get_pretrained_cfg(name).input_size
    assert extractor.in_chans == 3


def assert_described(maps: list[Tensor], info: FeatureInfo, images: Tensor) -> None:
    assert [each.shape[1] for each in maps] == info.channels()
    for each, reduction in zip(maps, info.reduction(), strict=True):
        assert [side * reduction for side in each.shape[2:]] == list(images.shape[2:])


@pytest.mark.parametrize("kind", OWN_CLASSES)
@pytest.mark.parametrize("name", ["vg_botnet_pico", "vg_coatnet_pico"])
def test_timms_own_ways_to_extract_features_give_the_same_maps(name: str, kind: str) -> None:
    torch.manual_seed(0)
    ours = timm.create_model(name, features_only=True, out_indices=(1, 3)).eval()
    torch.manual_seed(0)
    theirs = timm.create_model(name, features_only=True, out_indices=(1, 3), feature_cls=kind).eval()
    images = torch.randn(2, 3, 64, 64)
    wanted, found = ours(images), theirs(images)
    found = list(found.values()) if kind == "dict" else found
    assert all(torch.equal(*each) for each in zip(found, wanted, strict=True))
    assert theirs.feature_info.channels() == ours.feature_info.channels()


@pytest.mark.parametrize("name", SHAPES)
def test_intermediates_are_those_that_the_feature_info_describes(name: str) -> None:
    network = timm.create_model(name).eval()
    info = FeatureInfo(network.feature_info, len(network.feature_info))
    images = torch.randn(1, 3, 64, 96)
    last, found = network.forward_intermediates(images, output_fmt="NCHW")
    assert_described(found, info, images)
    assert all(torch.equal(*each) for each in zip(found, network.features(images).values(), strict=True))
    assert torch.equal(last, found[-1])
    assert torch.equal(last, network.forward_features(images))
    network.set_grad_checkpointing()
    again, _ = network.forward_intermediates(images, output_fmt="NCHW")
    assert torch.equal(last, again)


@pytest.mark.parametrize(
    ("name", "indices", "options", "stages", "shape"),
    [
        ("vg_botnet_pico", (1, 2), {}, 2, (1, 128, 16, 16)),
        ("vg_botnet_pico", (4,), {}, 4, (1, 512, 4, 4)),
        ("vg_botnet_pico", 1, {"prune_head": False}, 4, (1, 6)),
        ("vg_botnet_pico", (0,), {}, 1, (1, 64, 32, 32)),
        (LARGER_HEAD, (2,), {}, 2, (1, 512, 8, 8)),
        (LARGER_HEAD, (2,), {"prune_head": False}, 2, (1, 512, 8, 8)),
        (LARGER_HEAD, (4,), {}, 4, (1, 1280, 2, 2)),
        (LARGER_HEAD, 1, {"prune_head": False}, 4, (1, 6)),
    ],
)
def test_what_lies_behind_the_chosen_maps_can_be_left_out(
    name: str, indices: object, options: dict, stages: int, shape: tuple[int, ...], tmp_path: Path
) -> None:
    network = timm.create_model(name, num_classes=6, drop_path_rate=0.5).eval()
    images = torch.randn(1, 3, 64, 64)
    _, wanted = network.forward_intermediates(images, indices)
    rates = [each.rate for each in network.stages[:stages].modules() if hasattr(each, "rate")]
    chosen = network.prune_intermediate_layers(indices, **options)
    found = network.forward_intermediates(images, chosen, intermediates_only=True)
    assert all(torch.equal(*each) for each in zip(found, wanted, strict=True))
    assert (len(network.stages), network(images).shape) == (stages, shape)
    again = Network(network.spec)  # its spec still describes it
    assert {key: each.shape for key, each in again.state_dict().items()} == {
        key: each.shape for key, each in network.state_dict().items()
    }
    assert [each.rate for each in again.modules() if hasattr(each, "rate")] == pytest.approx(rates)
    stored = load(save(network, tmp_path / "m.safetensors"))  # without a classifier it pools
    assert torch.equal(stored.forward_features(images), network.forward_features(images))
    network.reset_classifier(5, "avg")
    assert network(images).shape == (1, 5)


def test_a_normalisation_of_cells_can_be_left_out_and_one_of_means_goes_with_its_head() -> None:
    for name, prune_norm, left in [("nano_rw_224", True, False), ("nano_rw_224", False, True), ("pico", False, False)]:
        with torch.device("meta"):
            network = timm.create_model(f"vg_coatnet_{name}")
        network.prune_intermediate_layers(1, prune_norm)
        assert isinstance(network.head.norm, nn.Identity) != left
        assert network.head_hidden_size == network.num_features


def test_where_a_layer_of_the_head_makes_the_last_map_it_is_timms_and_so_are_its_sizes() -> None:
    theirs = timm.create_model("sebotnet33ts_256").eval()
    ours = timm.create_model(LARGER_HEAD).eval()
    ours.load_state_dict(convert(theirs.state_dict(), source="timm", name="sebotnet33ts_256"))
    images = torch.rand(1, 3, 256, 256)
    assert ours.num_features == theirs.num_features == 1280
    assert ours.head_hidden_size == theirs.head_hidden_size == 1280
    assert [each["num_chs"] for each in ours.feature_info[1:]] == [each["num_chs"] for each in theirs.feature_info[1:]]
    with torch.no_grad():
        last, found = ours.forward_intermediates(images)
        wanted, intermediates = theirs.forward_intermediates(images)
        extracted = FeatureExtractor(ours, (1, 2, 3, 4))(images)
        for mine, their in zip([last, *found[1:], *extracted], [wanted, *intermediates[1:] * 2], strict=True):
            torch.testing.assert_close(mine, their, rtol=1e-3, atol=1e-4)
        for each in (ours, theirs):
            each.reset_classifier(0, "")
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-3, atol=1e-4)


def test_extractors_that_call_parts_one_by_one_are_refused_where_a_part_is_in_the_head() -> None:
    for kind in ("list", "dict", "hook"):
        text = f"The last map of {LARGER_HEAD} is made by a layer of its head, which feature_cls='{kind}' cannot"
        with pytest.raises(SpecError, match=text):
            timm.create_model(LARGER_HEAD, features_only=True, feature_cls=kind)
    ours = timm.create_model(LARGER_HEAD, features_only=True, feature_cls="getter").eval()
    assert [each.shape[1] for each in ours(torch.randn(1, 3, 64, 64))] == ours.feature_info.channels()


@pytest.mark.parametrize("name", SMALL)
def test_layer_decay_orders_the_parameters_by_depth(name: str) -> None:
    network = timm.create_model(name)
    for coarse in (False, True):
        layers = group_parameters(network, network.group_matcher(coarse=coarse), reverse=True)
        assert layers.keys() == dict(network.named_parameters()).keys()
        in_order = list(layers.values())
        assert in_order == sorted(in_order)
        assert in_order[-1] + 1 == 2 + (len(network.stages) if coarse else network.spec.depth)
    groups = param_groups_layer_decay(network, layer_decay=0.5, no_weight_decay_list=network.no_weight_decay())
    assert sum(len(each["params"]) for each in groups) == len(list(network.parameters()))
    scales = {id(each): group["lr_scale"] for group in groups for each in group["params"]}
    assert scales[id(network.get_classifier().weight)] == 1.0
    assert scales[id(next(network.parameters()))] == 0.5 ** (network.spec.depth + 1)


def test_timms_optimisers_do_not_decay_positions() -> None:
    network = timm.create_model("vg_botnet_pico")
    optimizer = create_optimizer_v2(network, opt="adamw", weight_decay=0.1)
    free = {id(each) for group in optimizer.param_groups if not group["weight_decay"] for each in group["params"]}
    tables = {key: each for key, each in network.named_parameters() if ".mixer.positions." in key or "height" in key}
    assert tables
    assert all(id(each) in free for each in tables.values())
    assert id(network.get_classifier().weight) not in free


def test_an_input_size_is_set_and_reported() -> None:
    network = timm.create_model("vg_coatnet_pico").eval()
    other = network.at((96, 128))
    network.set_input_size((96, 128))
    assert network.spec == other.spec
    assert timm.models.get_model_input_config(network)["input_size"] == (3, 96, 128)
    network.set_input_size()
    assert network.spec.image == (96, 128)
    images = torch.randn(1, 3, 96, 128)
    assert torch.equal(network(images), other(images))


@pytest.mark.parametrize("name", ["vg_botnet_pico", "vg_coatnet_pico", "vg_convmixer_pico"])
def test_a_file_of_ours_is_read_by_timm_at_any_size_with_other_classes_and_channels(name: str, tmp_path: Path) -> None:
    path = save(create_model(name.removeprefix("vg_"), num_classes=1000), tmp_path / "m.safetensors")
    own = {"pretrained": True, "pretrained_cfg_overlay": {"file": str(path)}}
    images = torch.randn(1, 3, 96, 64)
    wanted = load(path, image=(96, 64))
    with torch.no_grad():
        found = timm.create_model(name, **own, img_size=(96, 64)).eval()
        torch.testing.assert_close(found(images), wanted(images))
        gray = timm.create_model(name, **own, num_classes=3, in_chans=1).eval()
        pixels = torch.randn(1, 1, 96, 64)
        torch.testing.assert_close(
            gray.forward_features(pixels), wanted.forward_features(pixels.expand(-1, 3, -1, -1)), rtol=1e-3, atol=1e-4
        )
    assert gray(pixels).shape == (1, 3)


def test_published_weights_are_fetched_and_become_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-in for the hub: a file of timm's own network with other random numbers."""
    theirs = timm.create_model("coatnet_nano_rw_224").eval()
    path, asked = tmp_path / "model.safetensors", []
    save_file(theirs.state_dict(), path)
    monkeypatch.setattr(door, "fetch", lambda weights, *, folder: asked.append((weights.name, folder)) or path)
    images = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        wanted = theirs(images)
        for name in ("vg_coatnet_nano_rw_224", "vg_coatnet_nano_rw_224.sw_in1k"):
            ours = timm.create_model(name, pretrained=True, cache_dir=tmp_path).eval()
            torch.testing.assert_close(ours(images), wanted, rtol=1e-4, atol=1e-4)
        assert asked == [("coatnet_nano_rw_224.sw_in1k", tmp_path)] * 2
        assert resolve_model_data_config(ours) == resolve_model_data_config(theirs)
        choices = {"in_chans": 1, "num_classes": 5, "img_size": 96}
        gray = timm.create_model("vg_coatnet_nano_rw_224", pretrained=True, **choices).eval()
        pixels = torch.rand(1, 1, 96, 96)
        maps = timm.create_model("vg_coatnet_nano_rw_224", pretrained=True, features_only=True).eval()(
            pixels.expand(-1, 3, -1, -1)
        )
        assert gray(pixels).shape == (1, 5)
        torch.testing.assert_close(gray.forward_features(pixels), maps[-1], rtol=1e-3, atol=1e-4)


def test_the_classifier_of_a_file_is_kept_where_timm_is_told_of_its_classes(tmp_path: Path) -> None:
    path = save(create_model("botnet_pico", num_classes=5), tmp_path / "m.safetensors")
    overlay = {"file": str(path), "num_classes": 5}
    found = timm.create_model("vg_botnet_pico", pretrained=True, pretrained_cfg_overlay=overlay).eval()
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(found(images), load(path)(images))


def test_a_tag_that_there_is_not_is_refused() -> None:
    with pytest.raises(RuntimeError, match="Invalid pretrained tag"):
        timm.create_model("vg_resnet_pico.sw_in1k")


def renamed(own: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.replace("stages.0.0.reduce.weight", "stages.0.0.lower.weight"): each for name, each in own.items()}


CHOICES = [{}, {"num_classes": 3}, {"num_classes": 0}, {"features_only": True}]


@pytest.mark.parametrize("choices", CHOICES, ids=str)
@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda _: create_model("resnet_pico").state_dict(),
         "do not fit vg_botnet_pico: 23 tensors, such as 'stages.3.0.mixer.qkv.weight', are missing; 'stages"),
        (lambda _: timm.create_model("resnet18").state_dict(), "tensors, such as 'stem.0.weight', are missing; 1"),
        (renamed, "do not fit vg_botnet_pico: 'stages.0.0.reduce.weight' is missing; 'stages.0.0.lower.weight' is left"
         " over. Give a file of visiongraft for botnet_pico, which `graft convert` makes of others; if it is one with"
         " N classes, say pretrained_cfg_overlay={'num_classes': N, 'file': FILE}."),
        (lambda own: own | {"loss.weight": torch.ones(2)}, "do not fit vg_botnet_pico: 'loss.weight' is left over."),
        (lambda own: own | {"stages.0.0.reduce.weight": torch.ones(2, 3)}, "has the shape (2, 3) instead of (16, 16,"),
        (lambda own: own | {"stages.3.0.mixer.positions.height": torch.ones(7, 3)}, "has the shape (7, 3) instead of"),
        (lambda own: own | {"stages.0.0.reduce.weight": own["stages.0.0.reduce.weight"] * torch.nan},
         "'stages.0.0.reduce.weight' of these weights for botnet_pico holds numbers that are not finite."),
    ],
    ids=["another of ours", "foreign", "renamed", "extra", "misshapen", "misshapen table", "NaN"],
)  # fmt: skip
def test_weights_that_are_not_whole_and_alone_those_of_the_network_are_refused_whatever_is_asked_of_timm(
    make, text: str, choices: dict, tmp_path: Path
) -> None:
    torch.save(make(create_model("botnet_pico").state_dict()), tmp_path / "m.pth")
    overlay = {"file": str(tmp_path / "m.pth")}
    with pytest.raises(WeightsError) as caught:
        timm.create_model("vg_botnet_pico", pretrained=True, pretrained_cfg_overlay=overlay, **choices)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_timms_weights_with_a_fault_are_refused_where_only_maps_are_asked_for(tmp_path: Path) -> None:
    torch.save(timm.create_model("botnet26t_256").state_dict() | {"loss.weight": torch.ones(2)}, tmp_path / "m.pth")
    overlay = {"file": str(tmp_path / "m.pth")}
    with pytest.raises(WeightsError, match="do not fit timm's botnet26t_256: 'loss.weight' is left over"):
        timm.create_model("vg_botnet26t_256", pretrained=True, pretrained_cfg_overlay=overlay, features_only=True)


def test_a_file_with_other_classes_than_timm_was_told_of_is_refused_with_what_to_tell_it(tmp_path: Path) -> None:
    path = save(create_model("botnet_pico", num_classes=5), tmp_path / "m.safetensors")
    with pytest.raises(WeightsError, match=r"shape \(5, 512\) instead of \(1000, 512\) .*say pretrained_cfg_overlay="):
        timm.create_model("vg_botnet_pico", pretrained=True, pretrained_cfg_overlay={"file": str(path)})


def test_weights_without_a_classifier_get_a_fresh_one_as_with_timms_own(tmp_path: Path) -> None:
    path = save(create_model("resnet_pico", num_classes=0), tmp_path / "m.safetensors")
    overlay = {"file": str(path), "num_classes": 0}
    found = timm.create_model("vg_resnet_pico", pretrained=True, pretrained_cfg_overlay=overlay, num_classes=3).eval()
    images = torch.randn(1, 3, 64, 64)
    assert found(images).shape == (1, 3)
    assert torch.equal(found.forward_features(images), load(path).forward_features(images))
    folder = timm.create_model("vg_resnet_pico", num_classes=0).save_pretrained(tmp_path / "folder")
    assert timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=3)(images).shape == (1, 3)


def test_a_network_of_timms_saves_and_loads_as_one_of_ours(tmp_path: Path) -> None:
    network = timm.create_model("vg_cotnet_pico", num_classes=4).eval()
    again = load(save(network, tmp_path / "m.safetensors"))
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(again(images), network(images))


@pytest.mark.parametrize(
    ("choices", "error", "text"),
    [
        ({"global_pool": "max"}, SpecError, "pool by 'avg', or not at all by '', and not by 'max'"),
        ({"global_pool": ""}, SpecError, "Without pooling there is no classifier, but num_classes is 1000"),
        ({"drop_path_rate": 1.0}, SpecError, "drop_path is a probability in .0, 1., not 1.0."),
        ({"features_only": True, "out_indices": (9,)}, SpecError, "has feature maps 0 to 4, and out_indices asks for"),
        ({"output_stride": 8}, SpecError, "vg_resnet_pico has an output stride of 16, and output_stride=8 asks for"),
        (
            {"features_only": True, "output_stride": 8},
            SpecError,
            "last stages have stride=1, as many as it takes, made",
        ),
        (
            {"window": 7},
            TypeError,
            r"^vg_resnet_pico takes no 'window'\. It takes num_classes, in_chans, img_size, drop_rate, drop_path_rate,"
            r" global_pool, device, dtype, features_only, out_indices, feature_cls, output_stride\.$",
        ),
        ({"drop_path": 0.1}, TypeError, "^vg_resnet_pico takes no 'drop_path'. Did you mean 'drop_path_rate'"),
        ({"image": 96}, TypeError, "^vg_resnet_pico takes no 'image'. Did you mean 'img_size'"),
        ({"features_only": True, "out_index": 2}, TypeError, "takes no 'out_index'. Did you mean 'out_indices'"),
        ({"pretrained": True}, WeightsError, "No weights are published for resnet_pico"),
        ({"pretrained": True, "cache_dir": "none"}, WeightsError, "No weights are published for resnet_pico"),
    ],
)
def test_what_our_networks_cannot_be_is_refused(choices: dict, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        timm.create_model("vg_resnet_pico", **choices)


def test_the_output_stride_that_a_network_has_may_be_asked_for() -> None:
    assert timm.create_model("vg_resnet_pico", output_stride=16).spec.strides[-1] == 16
