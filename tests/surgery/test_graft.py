"""Grafting into networks of every family: what stays, what changes, what is refused."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
import torchvision
from torch import Tensor, nn

from tests.surgery.strangers import STRANGERS
from visiongraft.blocks.mixers import ContextualTransformer, Conv, GridAttention
from visiongraft.blocks.site import Site
from visiongraft.errors import SurgeryError
from visiongraft.families.zoo import get_spec
from visiongraft.summary import summarize
from visiongraft.surgery.graft import graft
from visiongraft.surgery.planting import Inserted

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
OTHER_SIZE = torch.rand(1, 3, 96, 75, generator=torch.Generator().manual_seed(1))


def small_resnet() -> nn.Module:
    return STRANGERS["torchvision's ResNet"].awake()


def wake(network: nn.Module) -> None:
    for each in network.modules():
        if isinstance(each, Inserted):
            nn.init.ones_(each.scale.gamma)


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: each.clone() for name, each in network.state_dict().items()}


@pytest.mark.parametrize("family", STRANGERS)
def test_an_inserted_mixer_changes_no_logit_before_it_learns_and_all_of_them_after(family: str) -> None:
    stranger = STRANGERS[family]
    network = stranger.awake()
    before, names = state(network), dict(network.named_modules()).keys()
    grafted, report = graft(network, stranger.blocks, GridAttention(heads=2), mode="insert", example=_example(network))
    assert report.inserted
    assert report.share_kept == 1.0
    assert type(grafted) is type(network)
    for images in (IMAGES, OTHER_SIZE):
        assert (grafted(images) - network(images)).abs().max() == 0.0
    wake(grafted)
    assert (grafted(OTHER_SIZE) - network(OTHER_SIZE)).abs().max() > 0.0
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())
    assert all(torch.equal(grafted.state_dict()[name], each) for name, each in before.items())
    assert dict(network.named_modules()).keys() == names


@pytest.mark.parametrize("family", STRANGERS)
def test_a_mixer_takes_the_place_of_convolutions_and_everything_else_stays(family: str) -> None:
    stranger = STRANGERS[family]
    network = stranger.awake()
    before = state(network)
    grafted, report = graft(
        network, stranger.convolutions, GridAttention(heads=2), example=_example(network), lose=stranger.lose
    )
    assert report.replaced
    for images in (IMAGES, OTHER_SIZE):
        assert grafted(images).shape == network(images).shape
    after = grafted.state_dict()
    own = tuple(f"{name}." for name in report.replaced)
    kept = {name: each for name, each in before.items() if not name.startswith(own)}
    assert all(torch.equal(after[name], each) for name, each in kept.items())
    learnt = {name: each.numel() for name, each in network.named_parameters()}
    assert report.share_kept == pytest.approx(
        sum(learnt[name] for name in kept if name in learnt) / sum(learnt.values())
    )
    assert report.params_before == sum(learnt.values())
    assert report.params_after == sum(each.numel() for each in grafted.parameters())
    assert report.macs_after != report.macs_before
    for each in report.replaced:
        assert isinstance(network.get_submodule(each), nn.Conv2d)
        assert not isinstance(grafted.get_submodule(each), nn.Conv2d)


def _example(network: nn.Module) -> Tensor | None:
    """Our networks have a native size, the others are shown images."""
    return None if hasattr(network, "spec") else IMAGES[:1]


def test_a_resnet_of_torchvision_becomes_the_botnet_of_the_paper() -> None:
    with torch.device("meta"):
        resnet50 = torchvision.models.resnet50()
    report = graft(resnet50, "layer4.*.conv2", GridAttention(heads=4)).report
    assert report.example == (1, 3, 224, 224)
    before, after = summarize(get_spec("resnet50")), summarize(get_spec("botnet50"))
    assert (report.params_before, report.params_after) == (before.params, after.params)
    assert (report.macs_before, report.macs_after) == (before.macs, after.macs)
    assert [(each.site.in_width, each.site.stride, each.site.grid) for each in report.places] == [
        (512, 2, (14, 14)),
        (512, 1, (7, 7)),
        (512, 1, (7, 7)),
    ]
    assert str(report) == (
        "grafted  GridAttention() in the place of 'layer4.0.conv2', 'layer4.1.conv2', 'layer4.2.conv2'\n"
        "kept     158 of 161 tensors, 72.3% of the weights; 9 are new\n"
        "params   25.557M before, 20.852M after\n"
        "MACs     4.089G before, 4.021G after for 1x3x224x224"
    )


def test_a_graft_learns_from_the_first_step_on() -> None:
    network = graft(small_resnet(), "layer4.*", ContextualTransformer(), mode="insert", example=IMAGES).network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    inserted = network.layer4[0].graft
    first = {name: each.clone() for name, each in inserted.named_parameters()}
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(IMAGES), torch.tensor([0, 1])).backward()
        optimizer.step()
        now = dict(inserted.named_parameters())
        assert not torch.equal(now["scale.gamma"], first["scale.gamma"])
    assert not torch.equal(now["mixer.value.0.weight"], first["mixer.value.0.weight"])


class Body(nn.Module):
    """A block with parts of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        return self.second(self.first(maps).relu())


def test_grafted_networks_export_for_all_sizes_and_compile_to_one_graph() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), Body())
    network = graft(network, "1.second", GridAttention(heads=2, position="none"), example=IMAGES).network
    network = graft(network, "1", Conv(), mode="insert", example=IMAGES).network.eval()
    wake(network)
    sides = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height", min=33), 3: torch.export.Dim("width", min=33)}
    with torch.no_grad(), torch._dynamo.config.patch(fake_tensor_cache_enabled=False):
        exported = torch.export.export(
            network, (IMAGES,), dynamic_shapes=(sides,), prefer_deferred_runtime_asserts_over_guards=True
        )
        torch.testing.assert_close(exported.module()(OTHER_SIZE), network(OTHER_SIZE))
        compiled = torch.compile(network, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(IMAGES), network(IMAGES))


def test_copies_and_pickles_of_a_grafted_network_have_mixers_of_their_own() -> None:
    network = graft(small_resnet(), "layer4.*", GridAttention(heads=4), mode="insert", example=IMAGES).network
    wake(network)
    expected = network(IMAGES)
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(other(IMAGES), expected)
        nn.init.zeros_(other.layer4[0].graft.scale.gamma)
        assert not torch.equal(other(IMAGES), expected)
        assert torch.equal(network(IMAGES), expected)


def test_two_mixers_may_stand_behind_one_module() -> None:
    once = graft(small_resnet(), "layer4.0", GridAttention(heads=4), mode="insert", example=IMAGES).network
    twice, report = graft(once, "layer4.0", ContextualTransformer(), mode="insert", example=IMAGES)
    assert {name.split(".")[2] for name in report.new} == {"graft2"}
    before = twice(IMAGES)
    nn.init.ones_(twice.layer4[0].graft2.scale.gamma)
    assert not torch.equal(twice(IMAGES), before)


@pytest.mark.parametrize("mode", ["replace", "insert"])
def test_a_mixer_is_of_the_type_and_in_the_mode_of_its_place(mode: str) -> None:
    network = small_resnet().to(torch.bfloat16).train()
    network.layer4.eval()
    grafted = graft(network, "layer[34].*.conv2", GridAttention(heads=4), mode=mode, example=IMAGES.bfloat16()).network
    assert {each.dtype for each in grafted.parameters()} == {torch.bfloat16}
    assert [name for name, each in grafted.named_modules() if name and not each.training] == [
        name for name, _ in grafted.named_modules() if name.startswith("layer4")
    ]


def test_an_insert_changes_nothing_under_autocast() -> None:
    network = small_resnet()
    grafted = graft(network, "layer[23].*", GridAttention(heads=4), mode="insert", example=IMAGES).network
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(grafted(IMAGES), network(IMAGES))


class Squared(nn.Sequential):
    """A network that looks at its numbers, so that it cannot be followed without them."""

    def forward(self, images: Tensor) -> Tensor:
        maps = super().forward(images)
        return maps * 2 if maps.sum().item() > 0 else maps


def test_what_looks_at_numbers_is_followed_on_the_example() -> None:
    network = Squared(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, stride=2, padding=1))
    with pytest.raises(SurgeryError) as refusal:
        graft(network, "1", GridAttention(heads=2))
    assert str(refusal.value).startswith("This Squared cannot be followed on the meta device (RuntimeError: ")
    assert str(refusal.value).endswith(". Give example=IMAGES, a batch that it takes, to have it followed on that.")
    grafted, report = graft(network, "1", GridAttention(heads=2), example=IMAGES[:, :, :16, :12])
    assert report.places[0].site == Site(8, 8, 2, (16, 12))
    other = OTHER_SIZE[:, :, :9, :14]
    assert grafted(other).shape == network(other).shape


@dataclass(frozen=True)
class Careless:
    """Somebody's mixer, which is wrong in one of several ways."""

    fault: str = "none"

    def build(self, site: Site) -> nn.Module:
        if self.fault == "raises":
            raise KeyError("nothing")
        if self.fault == "no module":
            return "a module"
        return nn.Conv2d(site.in_width, site.width, 3, padding=1)


def test_a_mixer_of_a_user_is_any_frozen_dataclass_that_builds() -> None:
    grafted, report = graft(small_resnet(), "layer4.1.conv2", Careless(), example=IMAGES)
    assert report.new == ("layer4.1.conv2.weight", "layer4.1.conv2.bias")
    assert "layer4.1.conv2.weight" not in report.kept
    assert grafted(OTHER_SIZE).shape == (1, 5)


@dataclass
class Thawed:
    def build(self, site: Site) -> nn.Module:
        return nn.Identity()


class Shared(nn.Module):
    """A network that runs its parts in ways that a mixer cannot follow."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = nn.Conv2d(3, 3, 3, padding=1)
        self.never = nn.Conv2d(3, 3, 3, padding=1)
        self.flat = nn.Flatten()

    def forward(self, images: Tensor) -> Tensor:
        return self.flat(self.twice(self.twice(images)))


def dilated() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=2, dilation=2), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 4, stride=4))


def resnext() -> nn.Module:
    return STRANGERS["torchvision's ResNeXt"].make()


def regnet() -> nn.Module:
    return STRANGERS["timm's RegNet"].make()


ATTENTION = GridAttention(heads=4)

REFUSALS: list[tuple[Callable[[], nn.Module], str, object, dict[str, object], str]] = [
    (
        small_resnet,
        "layer5.*.conv2",
        ATTENTION,
        {},
        "No module of this ResNet is at 'layer5.*.conv2'. Did you mean 'layer4.1.conv2' or 'layer4.0.conv2' or"
        " 'layer3.0.conv2'? A star is what stands between two dots; named_modules() lists the 49 names.",
    ),
    (
        small_resnet,
        "layer4.*.bn2",
        ATTENTION,
        {},
        "'layer4.0.bn2' is a BatchNorm2d, and a mixer replaces spatial convolutions. Did you mean 'layer4.0.conv2' or"
        " 'layer4.1.conv2' or 'layer4.0.conv1'?",
    ),
    (
        resnext,
        "layer4.0.conv1",
        ATTENTION,
        {},
        "'layer4.0.conv1' is a 1x1 convolution, and a mixer replaces spatial convolutions. Did you mean"
        " 'layer4.0.conv2' or 'layer4.1.conv2' or 'layer3.0.conv2'?",
    ),
    (
        small_resnet,
        "layer4.0",
        ATTENTION,
        {},
        "'layer4.0' is a BasicBlock, and a mixer replaces spatial convolutions. Did you mean 'layer4.0.conv1'?",
    ),
    (
        small_resnet,
        "layer4.0.conv2",
        GridAttention(heads=3),
        {},
        "'layer4.0.conv2' takes no GridAttention: GridAttention(heads=3) does not divide a width of 512. Use a number"
        " of heads that does, such as 2.",
    ),
    (
        resnext,
        "layer4.*.conv2",
        ATTENTION,
        {},
        "'layer4.0.conv2' has 8 groups, which GridAttention cannot keep. If they may go, say lose=('groups',), or"
        " --graft-lose groups.",
    ),
    (
        dilated,
        "0",
        ATTENTION,
        {},
        "'0' has a dilation of 2x2, which GridAttention cannot keep. If it may go, say lose=('dilation',),"
        " or --graft-lose dilation.",
    ),
    (
        dilated,
        "1",
        ATTENTION,
        {},
        "'1' changes the size of its map otherwise than mixers do, which divide it by the stride and round up: its"
        " kernel is 3x3, its padding 0x0. Leave it out.",
    ),
    (dilated, "2", ATTENTION, {}, "'2' has a stride of 4x4, and mixers have 1 or 2. Leave it out."),
    (
        Shared,
        "twice",
        ATTENTION,
        {},
        "'twice' is called 2 times in one pass of the network, and a mixer has one place. Leave it out.",
    ),
    (
        Shared,
        "never",
        ATTENTION,
        {},
        "'never' is not called in one pass of the network, and a mixer has one place. Leave it out.",
    ),
    (
        Shared,
        "flat",
        ATTENTION,
        {"mode": "insert"},
        "'flat' gives what has the shape 2x12288, and a mixer takes maps (b, c, h, w). Leave it out.",
    ),
    (
        small_resnet,
        "layer4.0.bn2",
        ATTENTION,
        {"mode": "insert"},
        "'layer4.0.bn2' is a BatchNorm2d, behind which nothing can be kept. Name the module around it, or one inside"
        " it.",
    ),
    (
        regnet,
        "s4",
        ATTENTION,
        {"mode": "insert"},
        "What is put behind 's4' is called 2 times in one pass: a module there runs its parts in a way of its own."
        " Name another place, such as a part of it.",
    ),
    (
        small_resnet,
        "layer4.0.conv1",
        Careless(),
        {},
        "Careless gives maps of 512x4x4 at 'layer4.0.conv1', where 512x2x2 are wanted. A mixer maps (b, in_width, h,"
        " w) to (b, width, h/stride, w/stride), rounded up.",
    ),
    (
        small_resnet,
        "layer4.0.conv1",
        Careless("raises"),
        {},
        "'layer4.0.conv1' takes no Careless, whose build raised KeyError: 'nothing'",
    ),
    (
        small_resnet,
        "layer4.0.conv1",
        Careless("no module"),
        {},
        "The build of Careless gave a str, and a torch.nn.Module is wanted.",
    ),
    (small_resnet, "layer4", GridAttention, {}, "The mixer is the class GridAttention. Give GridAttention()."),
    (
        small_resnet,
        "layer4",
        Thawed(),
        {},
        "A mixer is a frozen dataclass with build(site), as visiongraft.GridAttention(heads=4), not a Thawed.",
    ),
    (
        small_resnet,
        "layer4",
        ATTENTION,
        {"mode": "swap"},
        "The mode of a Graft cannot be 'swap'. Expected one of 'replace', 'insert'.",
    ),
    (
        small_resnet,
        "layer4.0.conv2",
        ATTENTION,
        {"lose": ("stride",)},
        "A mixer may lose 'groups' and 'dilation', not 'stride'.",
    ),
    (
        small_resnet,
        "layer4.0.conv2",
        ATTENTION,
        {"example": IMAGES[:, :1]},
        "This ResNet cannot be run on the example: RuntimeError: Given groups=1, weight of size [64, 3, 7, 7],"
        " expected input[2, 1, 64, 64] to have 3 channels, but got 1 channels instead",
    ),
    (
        STRANGERS["ours"].make,
        "stages.2.*.mixer",
        ATTENTION,
        {"example": IMAGES[:, :, :48, :48]},
        "This network is native at 3x64x64, and the example is 3x48x48. Leave it out, or make another size the native"
        " one first.",
    ),
]


@pytest.mark.parametrize(("make", "at", "mixer", "options", "text"), REFUSALS)
def test_what_cannot_be_grafted_is_refused_in_one_line_and_leaves_the_network_as_it_was(
    make: Callable[[], nn.Module], at: str, mixer: object, options: dict[str, object], text: str
) -> None:
    network = make()
    before, modules = state(network), [(name, id(each)) for name, each in network.named_modules()]
    with pytest.raises(ValueError) as refusal:  # all that users cause is one, and the text is compared
        graft(network, at, mixer, **{"example": None if hasattr(network, "spec") else IMAGES} | options)
    assert str(refusal.value) == text
    assert [(name, id(each)) for name, each in network.named_modules()] == modules
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())
    assert not any(each._forward_hooks for each in network.modules())


def test_groups_that_the_mixer_keeps_need_not_go() -> None:
    network = resnext()
    report = graft(network, "layer4.*.conv2", Conv(kernel=5, groups=8), example=IMAGES).report
    assert len(report.replaced) == 2


def test_what_is_wrapped_is_refused() -> None:
    with pytest.raises(SurgeryError) as refusal:
        graft(nn.DataParallel(small_resnet()), "layer4.0.conv2", ATTENTION)
    assert str(refusal.value) == "This network is in a DataParallel. Graft what is inside, and wrap the result."
