"""Weights that libraries publish for networks of theirs: fetched when asked for, checked, kept."""

import hashlib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import timm
import torch
from safetensors.torch import save as to_bytes
from torchvision import models

import visiongraft as vg
from tests.weights.fake_hub import put_into_cache
from visiongraft.errors import UnknownModel, WeightsError
from visiongraft.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from visiongraft.surgery.foreign import Foreign
from visiongraft.weights.imagenet import imagenet_classes
from visiongraft.weights.libraries import read_weights_of_others
from visiongraft.weights.of_torchvision import _preprocessing, _sets, as_built
from visiongraft.weights.store import Trained

NAME = "torchvision:squeezenet1_1"
SMALL = "timm:test_resnet"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return models.squeezenet1_1().eval()


@pytest.fixture(scope="module")
def folder(network: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with one file, as torchvision publishes it."""
    place = tmp_path_factory.mktemp("published")
    draft = place / "draft"
    torch.save(network.state_dict(), draft)
    return draft.rename(place / f"squeezenet1_1-{hashlib.sha256(draft.read_bytes()).hexdigest()[:8]}.pth").parent


@pytest.fixture
def address(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve it on this machine, which is where torchvision says that its weights are."""
    (file,) = folder.iterdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{file.name}"
        monkeypatch.setattr(models.SqueezeNet1_1_Weights.IMAGENET1K_V1.value, "url", url)
        yield url
        server.shutdown()


def test_torchvisions_weights_are_fetched_once_checked_and_kept(
    address: str, network: torch.nn.Module, tmp_path: Path
) -> None:
    found = vg.load_pretrained(NAME, weights_dir=tmp_path / "kept")
    assert found.network.spec == Foreign(NAME)
    assert found.preprocessing == Preprocessing((224, 224), interpolation="bilinear")
    assert found.classes == imagenet_classes()
    assert found.scores == {"claimed_top1": pytest.approx(0.58178), "claimed_top5": pytest.approx(0.80624)}
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(found.network(images), network(images))
    again = vg.load_pretrained(f"{NAME}.imagenet1k_v1", image=96, weights_dir=tmp_path / "kept", offline=True)
    assert (again.network.spec.image, again.preprocessing.image, again.scores) == ((96, 96), (96, 96), {})
    (file,) = (tmp_path / "kept").iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(WeightsError) as refusal:
        vg.load_pretrained(NAME, weights_dir=tmp_path / "kept")
    assert str(refusal.value).startswith(f"{file} is damaged: its checksum begins with ")
    assert str(refusal.value).endswith(", and not as its name says. Delete it, and ask again.")


def test_nothing_is_fetched_offline_and_half_a_file_never_stays(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WeightsError) as refusal:
        vg.load_pretrained(NAME, weights_dir=tmp_path, offline=True)
    assert str(refusal.value) == (
        f"{NAME}.imagenet1k_v1 is not in {tmp_path}, and nothing may be fetched (--offline): fetch {address} elsewhere"
        f" and put it into {tmp_path}, or say with --weights-dir where it is."
    )
    monkeypatch.setattr(models.SqueezeNet1_1_Weights.IMAGENET1K_V1.value, "url", address.replace("net1", "net9"))
    with pytest.raises(WeightsError) as refusal:
        vg.load_pretrained(NAME, weights_dir=tmp_path)
    text = (
        f"{NAME}.imagenet1k_v1 could not be fetched (HTTP Error 404: File not found). Look at the internet connection"
    )
    assert str(refusal.value).startswith(text)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (f"{NAME}.imagenet1k_v2", "torchvision has no weights 'imagenet1k_v2' for torchvision:squeezenet1_1."),
        ("torchvision:resnet51", "torchvision has no classifier 'resnet51'. Did you mean 'resnet50' or "),
        ("torchvison:resnet50", "'torchvison:resnet50' names the library 'torchvison', and known are timm,"),
        ("own:ResNet", "Nobody publishes weights of own:ResNet. Give a file of yours."),
        (f"{SMALL}.a9_in1k", "timm has no weights 'a9_in1k' for timm:test_resnet."),
        ("timm:test_resnett", "timm has no network 'test_resnett'. Did you mean 'test_resnet' or "),
    ],
)
def test_weights_that_nobody_publishes_are_refused_with_near_names(name: str, text: str) -> None:
    with pytest.raises(UnknownModel) as refusal:
        vg.load_pretrained(name, offline=True)
    assert str(refusal.value).startswith(text)


def test_timms_weights_are_those_of_its_hub(tmp_path: Path) -> None:
    network = timm.create_model("test_resnet").eval()
    put_into_cache(tmp_path, "timm/test_resnet.r160_in1k", to_bytes(network.state_dict()))
    for name in (SMALL, f"{SMALL}.r160_in1k"):
        found = vg.load_pretrained(name, weights_dir=tmp_path, offline=True)
        images = torch.rand(1, 3, 64, 64)
        assert torch.equal(found.network(images), network(images))
        cfg = network.pretrained_cfg
        assert found.network.spec == Foreign(SMALL, image=cfg["input_size"][1:])
        assert found.preprocessing == Preprocessing(
            cfg["input_size"][1:], cfg["mean"], cfg["std"], cfg["interpolation"], cfg["crop_pct"]
        )


@pytest.mark.parametrize("name", models.list_models(module=models))
def test_images_are_cut_as_torchvision_cuts_them_for_each_of_its_weights(name: str) -> None:
    for each in _sets(f"torchvision:{name}").values():
        pre, theirs = _preprocessing(f"torchvision:{name}", each), each.transforms()
        assert int(pre.image[0] / pre.crop) == theirs.resize_size[0]
        assert pre.image == (theirs.crop_size[0],) * 2
        assert pre.interpolation == theirs.interpolation.value


def test_a_file_of_torchvisions_densenets_has_older_names(tmp_path: Path) -> None:
    network = models.densenet121(num_classes=3).eval()
    file = tmp_path / "densenet.pth"
    old = {
        name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): each
        for name, each in network.state_dict().items()
    }
    torch.save(old, file)
    assert any(".norm.1." in name for name in old)
    found = read_weights_of_others(file, Foreign("torchvision:densenet121", image=(64, 64)))
    assert found.network.spec.num_classes == 3
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(found.network(images), network(images))


def test_further_heads_of_torchvisions_networks_are_left_out_and_images_are_those_that_their_weights_want() -> None:
    tensors = {"conv1.conv.weight": torch.ones(1), "aux1.fc1.weight": torch.ones(1), "fc.weight": torch.ones(1)}
    assert as_built("torchvision:googlenet", tensors).keys() == {"conv1.conv.weight", "fc.weight"}
    assert as_built("torchvision:resnet18", tensors).keys() == tensors.keys()
    (weights,) = _sets("torchvision:googlenet").values()
    plain = _preprocessing("torchvision:googlenet", weights)
    theirs = models.GoogLeNet(transform_input=True, aux_logits=False, init_weights=False)
    pixels = torch.rand(1, 3, 4, 4)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_STD))
    torch.testing.assert_close(theirs._transform_input((pixels - mean) / std), (pixels - plain.mean[0]) / plain.std[0])


def test_what_asks_for_the_version_of_its_tensors_is_saved_and_read(tmp_path: Path) -> None:
    network = vg.build(Foreign("torchvision:mnasnet0_5", num_classes=3, image=(32, 32))).eval()
    found = vg.load(vg.save(network, tmp_path / "mnasnet.safetensors"))
    images = torch.rand(1, 3, 32, 32)
    assert torch.equal(found(images), network(images))


def test_a_file_with_a_name_of_torchvisions_brings_what_images_go_through(folder: Path, address: str) -> None:
    (file,) = folder.iterdir()
    found: Trained = read_weights_of_others(file, Foreign(NAME, image=(64, 64)))
    assert found.preprocessing == Preprocessing((64, 64), interpolation="bilinear")
    other = folder.parent / "mine.pth"
    other.write_bytes(file.read_bytes())
    assert read_weights_of_others(other, Foreign(NAME)).preprocessing == Preprocessing()
