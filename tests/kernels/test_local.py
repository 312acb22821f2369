"""CoTNet's local filter equals its definition, is local, and shares its kernels as the authors' code does."""

import pytest
import torch

from visiongraft.kernels.local import local_filter_fused, local_filter_plain

FORMS = [local_filter_plain, local_filter_fused]


def inputs(channels: int, shared: int, grid: tuple[int, int], *, side: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(channels)
    value = torch.randn(2, channels, *grid, generator=generator, dtype=torch.float64)
    kernels = torch.randn(2, shared, side * side, *grid, generator=generator, dtype=torch.float64)
    return value.requires_grad_(), kernels.requires_grad_()


@pytest.mark.parametrize("form", FORMS)
def test_the_filter_is_the_sum_that_the_paper_writes(form) -> None:
    value, kernels = inputs(6, 2, (4, 5))
    wanted = torch.zeros_like(value)
    for c in range(6):
        for i in range(4):
            for j in range(5):
                for p in range(3):
                    for q in range(3):
                        row, column = i + p - 1, j + q - 1
                        if 0 <= row < 4 and 0 <= column < 5:
                            wanted[:, c, i, j] += kernels[:, c % 2, 3 * p + q, i, j] * value[:, c, row, column]
    torch.testing.assert_close(form(value, kernels), wanted)


@pytest.mark.parametrize("channels", [8, 24])
@pytest.mark.parametrize("grid", [(1, 1), (1, 6), (5, 4), (9, 7)])
@pytest.mark.parametrize("side", [3, 5])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_fused_filter_equals_the_plain_one_forward_and_backward(channels: int, grid, side: int, layout) -> None:
    results = []
    for form in FORMS:
        value, kernels = inputs(channels, 4, grid, side=side)
        output = form(value.contiguous(memory_format=layout), kernels)
        output.square().sum().backward()
        results.append((output, value.grad, kernels.grad))
    for plain, fused in zip(*results, strict=True):
        torch.testing.assert_close(plain, fused)


@pytest.mark.parametrize("form", FORMS)
def test_a_changed_cell_reaches_its_neighbours_and_no_further(form) -> None:
    value, kernels = inputs(8, 2, (7, 7))
    with torch.no_grad():
        before = form(value, kernels)
        value[:, :, 3, 3] += 1
        changed = (form(value, kernels) != before).any(dim=(0, 1))
    assert changed.nonzero().min() == 2
    assert changed.nonzero().max() == 4
