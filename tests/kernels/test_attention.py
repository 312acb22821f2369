"""Attention equals its definition in every form, and its positions mean what the papers say."""

import pytest
import torch

from visiongraft.kernels import attention as kernels
from visiongraft.kernels.relative import (
    axis_vectors,
    log_offsets,
    plane_bias,
    resize_axis_table,
    resize_cell_table,
    resize_plane_table,
)

GRIDS = [(1, 1), (1, 5), (4, 4), (5, 3), (7, 8)]


def heads(grid: tuple[int, int], *, batch: int = 2, count: int = 3, dim: int = 8, dtype: torch.dtype = torch.float64):
    generator = torch.Generator().manual_seed(grid[0] * 10 + grid[1])
    shape = (batch, count, grid[0] * grid[1], dim)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for _ in range(3)]


def compare_forms(plain, fused, arguments: list[torch.Tensor]) -> None:
    """Compare two forms forward and backward, with gradients for every floating argument."""
    results = []
    for form in (plain, fused):
        inputs = [None if each is None else each.clone().requires_grad_() for each in arguments]
        output = form(*inputs)
        weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
        (output * weights).sum().backward()
        results.append([output, *(each.grad for each in inputs if each is not None)])
    for first, second in zip(*results, strict=True):
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("biased", [True, False])
def test_fused_attention_equals_the_plain_one_forward_and_backward(grid: tuple[int, int], biased: bool) -> None:
    cells = grid[0] * grid[1]
    bias = torch.randn(3, cells, cells, dtype=torch.float64) if biased else None
    compare_forms(kernels.attention_plain, kernels.attention_fused, [*heads(grid), bias])


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("content", [True, False])
def test_fused_axial_attention_equals_the_plain_one_forward_and_backward(grid: tuple[int, int], content: bool) -> None:
    query, key, value = heads(grid)
    rows = torch.randn(grid[0], grid[0], 8, dtype=torch.float64)
    columns = torch.randn(grid[1], grid[1], 8, dtype=torch.float64)
    arguments = [query, key if content else None, value, rows, columns]
    compare_forms(kernels.axial_attention_plain, kernels.axial_attention_fused, arguments)


@pytest.mark.parametrize("grid", GRIDS)
def test_fused_listing_attention_equals_the_plain_one_forward_and_backward(grid: tuple[int, int]) -> None:
    cells = torch.randn(3, grid[0] * grid[1], 8, dtype=torch.float64)
    compare_forms(kernels.listing_attention_plain, kernels.listing_attention_fused, [*heads(grid), cells])


@pytest.mark.parametrize("form", [kernels.listing_attention_plain, kernels.listing_attention_fused])
def test_listing_attention_is_the_sum_over_the_cells_that_the_listing_writes(form) -> None:
    query, key, value = heads((2, 3), count=2, dim=4)
    place = torch.randn(2, 6, 4, dtype=torch.float64)
    found = form(query, key, value, place)
    for b in range(2):
        for n in range(2):
            for i in range(6):
                energy = torch.stack([
                    query[b, n, i] @ key[b, n, j] + place[n, i] @ query[b, n, j] for j in range(6)
                ])  # fmt: skip
                torch.testing.assert_close(found[b, n, i], energy.softmax(0) @ value[b, n])


def test_attention_by_position_alone_is_recorded_for_grids_with_more_and_less_cells_than_head_dim() -> None:
    class Attend(torch.nn.Module):
        def forward(self, maps: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
            cells = maps.flatten(2).transpose(1, 2)[:, None]
            return kernels.axial_attention_fused(cells, None, cells, rows, columns)

    def inputs(height: int, width: int) -> tuple[torch.Tensor, ...]:
        return torch.randn(2, 8, height, width), torch.randn(height, height, 8), torch.randn(width, width, 8)

    height, width = torch.export.Dim("height"), torch.export.Dim("width")
    dynamic = ({2: height, 3: width}, {0: height, 1: height}, {0: width, 1: width})
    exported = torch.export.export(
        Attend(), inputs(5, 3), dynamic_shapes=dynamic, prefer_deferred_runtime_asserts_over_guards=True
    ).module()
    for grid in [(5, 3), (2, 4), (9, 6)]:
        arguments = inputs(*grid)
        torch.testing.assert_close(exported(*arguments), Attend()(*arguments))


def test_attention_by_hand_for_two_cells() -> None:
    query = torch.tensor([[1.0], [0.0]]).view(1, 1, 2, 1)
    key = torch.tensor([[2.0], [0.0]]).view(1, 1, 2, 1)
    value = torch.tensor([[1.0], [3.0]]).view(1, 1, 2, 1)
    bias = torch.tensor([[0.0, 0.0], [0.0, 1.0]])[None]
    mixed = kernels.attention_plain(query, key, value, bias)
    first = torch.tensor([2.0, 0.0]).softmax(0) @ torch.tensor([1.0, 3.0])
    second = torch.tensor([0.0, 1.0]).softmax(0) @ torch.tensor([1.0, 3.0])
    torch.testing.assert_close(mixed.flatten(), torch.stack([first, second]))


def test_axial_logits_are_the_querys_product_with_the_vectors_of_both_offsets() -> None:
    grid = (2, 3)
    query, key, value = heads(grid, batch=1, count=1)
    row_table, column_table = torch.randn(3, 8, dtype=torch.float64), torch.randn(5, 8, dtype=torch.float64)
    logits = torch.empty(6, 6, dtype=torch.float64)
    for i in range(6):
        for j in range(6):
            row = row_table[(j // 3 - i // 3) + 1]
            column = column_table[(j % 3 - i % 3) + 2]
            logits[i, j] = query[0, 0, i] @ (key[0, 0, j] + row + column)
    found = kernels.axial_attention_plain(query, key, value, axis_vectors(row_table, 2), axis_vectors(column_table, 3))
    torch.testing.assert_close(found[0, 0], logits.softmax(-1) @ value[0, 0])


def test_the_plane_bias_of_two_cells_is_the_table_at_query_minus_key() -> None:
    height, width = 3, 4
    table = torch.arange(2 * 5 * 7, dtype=torch.float32).view(2, 5, 7)
    bias = plane_bias(table, (height, width))
    for i in range(12):
        for j in range(12):
            row, column = i // 4 - j // 4 + height - 1, i % 4 - j % 4 + width - 1
            assert torch.equal(bias[:, i, j], table[:, row, column])


def test_resizing_to_ones_own_size_changes_nothing() -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        plane, axis = torch.randn(3, 9, 13).to(dtype) / 3, torch.randn(13, 8).to(dtype) / 3
        assert torch.equal(resize_plane_table(plane, (5, 7)), plane)
        assert torch.equal(resize_axis_table(axis, 7), axis)
        assert torch.equal(resize_cell_table(axis, 13), axis)


@pytest.mark.parametrize("grid", [(8, 8), (3, 9), (20, 5)])
def test_resizing_keeps_what_is_linear_in_the_offset(grid: tuple[int, int]) -> None:
    rows, columns = torch.arange(-6.0, 7.0), torch.arange(-4.0, 5.0)
    table = (2 * rows[:, None] + 3 * columns[None, :])[None]
    resized = resize_plane_table(table, grid)[0]
    height, width = grid
    row_scale, column_scale = 13 / (2 * height - 1), 9 / (2 * width - 1)
    wanted_rows = (torch.arange(-height + 1.0, height) * row_scale).clamp(-6, 6)
    wanted_columns = (torch.arange(-width + 1.0, width) * column_scale).clamp(-4, 4)
    torch.testing.assert_close(resized, 2 * wanted_rows[:, None] + 3 * wanted_columns[None, :])
    vectors = resize_axis_table(table[0, :, :1].expand(-1, 4).contiguous(), height)
    torch.testing.assert_close(vectors[:, 0], 2 * wanted_rows + 3 * columns[0])


@pytest.mark.parametrize("form", ["plain", "fused"])
def test_half_precision_stays_near_float32(form: str) -> None:
    exact = heads((7, 8), dim=32)
    exact[0] *= 32**-0.5
    bias = torch.randn(3, 56, 56, dtype=torch.float64)
    wanted = kernels.attention_plain(*exact, bias)
    half = [each.bfloat16() for each in exact]
    found = kernels.attention(*half, bias.bfloat16(), path=form)
    assert found.dtype == torch.bfloat16
    assert (found.double() - wanted).abs().max() < 0.02 * wanted.abs().max()


def test_an_empty_batch_gives_an_empty_result() -> None:
    query, key, value = heads((4, 4), batch=0)
    assert kernels.attention(query, key, value).shape == (0, 3, 16, 8)


def test_log_offsets_by_hand_keep_their_signs_and_their_axes() -> None:
    found = log_offsets((2, 3), torch.device("cpu"))
    rows, columns = torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])
    expected = torch.stack([rows[:, None].expand(3, 5), columns[None].expand(3, 5)], dim=-1)
    torch.testing.assert_close(found, expected.sign() * (1 + expected.abs()).log())
