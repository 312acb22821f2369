"""A network that was saved at one size loads at another by every path: tables are interpolated as the papers say."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import visiongraft as vg
from tests.networks import awake, narrow
from visiongraft.blocks.positions import AxisVectors, CellVectors, PlaneBias, PositionTables

PATHS: dict[str, Callable[[Path, int | tuple[int, int]], vg.Network]] = {
    "load": lambda path, image: vg.load(path, image=image),
    "read_weights": lambda path, image: vg.read_weights(path, image=image).network,
    "create_model with weights": lambda path, image: vg.create_model(weights=path, image=image).eval(),
    "create_model with a spec": lambda path, image: vg.create_model(vg.load(path).spec.at(image), weights=path).eval(),
}
NETWORKS = ["coatnet_0", "botnet50", "botnet50_content_absolute"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give files of narrow networks whose native size is 224."""
    folder = tmp_path_factory.mktemp("saved")
    return {name: vg.save(awake(narrow(name)), folder / f"{name}.safetensors") for name in NETWORKS}


@pytest.mark.parametrize("way", PATHS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_saved_at_224_loads_at_384_by_every_path_with_the_same_numbers(
    name: str, way: str, saved: dict[str, Path]
) -> None:
    native = vg.load(saved[name])
    assert native.spec.image == (224, 224)
    found, expected = PATHS[way](saved[name], 384), native.at(384)
    assert found.spec == expected.spec
    assert found.spec.image == (384, 384)
    states = found.state_dict(), expected.state_dict()
    assert all(torch.equal(each, states[1][key]) for key, each in states[0].items())
    image = torch.rand(1, 3, 384, 384)
    with torch.no_grad():
        assert torch.equal(found(image), expected(image))
        torch.testing.assert_close(found(image), native(image))  # which resamples as it runs


@pytest.mark.parametrize("way", PATHS)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_size_that_is_the_files_own_changes_no_bit(name: str, way: str, saved: dict[str, Path]) -> None:
    found, native = PATHS[way](saved[name], 224).state_dict(), vg.load(saved[name]).state_dict()
    assert all(torch.equal(each, native[key]) for key, each in found.items())


def interpolated(table: Tensor, length: int, axis: int) -> Tensor:
    """Interpolate linearly along one axis, number by number: the paper's way, with pixels as areas."""
    rows = table.movedim(axis, 0).double()
    count, found = len(rows), []
    for index in range(length):
        place = min(max((index + 0.5) * count / length - 0.5, 0.0), count - 1.0)
        low = math.floor(place)
        high = min(low + 1, count - 1)
        found.append(rows[low] * (low + 1 - place) + rows[high] * (place - low))
    return torch.stack(found).movedim(0, axis)


def tables(network: nn.Module) -> dict[str, PositionTables]:
    return {name: each for name, each in network.named_modules() if isinstance(each, PositionTables)}


@pytest.mark.parametrize("image", [384, (160, 320)])
@pytest.mark.parametrize("name", NETWORKS)
def test_resized_tables_are_the_papers_linear_interpolation(
    name: str, image: int | tuple[int, int], saved: dict[str, Path]
) -> None:
    native, resized = tables(vg.load(saved[name])), tables(vg.load(saved[name], image=image))
    assert native.keys() == resized.keys() != set()
    for key, before in native.items():
        after = resized[key]
        height, width = after.grid
        assert (height, width) != before.grid
        match before, after:
            case PlaneBias(), PlaneBias():
                expected = interpolated(interpolated(before.table, 2 * height - 1, 1), 2 * width - 1, 2)
                torch.testing.assert_close(after.table.double(), expected, atol=1e-5, rtol=1e-5)
            case (AxisVectors(), AxisVectors()) | (CellVectors(), CellVectors()):
                longer = (lambda side: 2 * side - 1) if isinstance(before, AxisVectors) else (lambda side: side)
                for axis, length in (("height", longer(height)), ("width", longer(width))):
                    expected = interpolated(getattr(before, axis), length, 0)
                    torch.testing.assert_close(getattr(after, axis).double(), expected, atol=1e-5, rtol=1e-5)
            case _:
                pytest.fail(f"{key} is a kind of table that this test does not know")


def ramp(module: PositionTables) -> None:
    """Fill tables with what is linear in the place relative to the image, from one end of it to the other."""

    def along(length: int) -> Tensor:
        count = length if isinstance(module, CellVectors) else 2 * length - 1
        return (torch.arange(count) + 0.5) / count

    height, width = (along(side) for side in module.grid)
    with torch.no_grad():
        if isinstance(module, PlaneBias):
            slopes = torch.arange(1.0, len(module.table) + 1)[:, None, None]
            module.table.copy_(slopes * (height[:, None] - 2 * width))
        else:
            slopes = torch.arange(1.0, module.height.shape[1] + 1)
            module.height.copy_(height[:, None] * slopes)
            module.width.copy_(-2 * width[:, None] * slopes)


@pytest.mark.parametrize("image", [384, (320, 256)])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_smooth_table_that_is_resized_agrees_with_the_native_one_of_the_same_function(
    name: str, image: int | tuple[int, int], saved: dict[str, Path]
) -> None:
    small, large = vg.load(saved[name]), vg.load(saved[name]).at(image)
    for each in (*tables(small).values(), *tables(large).values()):
        ramp(each)
    resized = tables(small.at(image))
    for key, native in tables(large).items():
        for found, expected in zip(resized[key].parameters(), native.parameters(), strict=True):
            axes = (1, 2) if found.ndim == 3 else (0,)  # the others are heads, or channels
            inner = found, expected
            for axis in axes:  # at the very ends there is nothing to interpolate between
                inner = tuple(each.narrow(axis, 1, each.shape[axis] - 2) for each in inner)
            torch.testing.assert_close(*inner, atol=1e-4, rtol=1e-4)
