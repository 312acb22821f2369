"""Steps by machine code that is made for the network: `torch.compile`, kept to what a run can be taken up with."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import nn

from visiongraft.errors import RunError

Code = Literal["eager", "compiled"]
"""How a step's network computes: as it is written, or by code that is compiled for each size of images."""

COMPILER: Mapping[str, Any] = {"dynamic": False, "options": {"fallback_random": True}}
"""What `torch.compile` is told. Code for any size would depend on which size came first, and so a run that is taken up
again would end with other bits. What is drawn (dropout, stochastic depth) is what the plain network draws."""

_MOST_SIZES = 256
"""Beyond so many sizes PyTorch would go on without compiling; recipes have some dozens at the most."""


def compiled(network: nn.Module) -> nn.Module:
    """Wrap a network in its compiled form. Both share their tensors; those of the wrapper have other names."""
    wrapped = torch.compile(network, **COMPILER)
    assert isinstance(wrapped, nn.Module)
    return wrapped


@contextmanager
def compiling(code: Code) -> Iterator[None]:
    """Compile for as many sizes as there are, and say in one line where that cannot be done.

    Raises:
        RunError: if the compiler fails.
    """
    if code == "eager":
        yield
        return
    import torch._dynamo  # takes a second

    remarks = logging.getLogger("torch.utils.cpp_extension")  # of a CUDA that is not there, to who wants none
    level = remarks.level
    remarks.setLevel(logging.ERROR)
    try:
        with torch._dynamo.config.patch(recompile_limit=_MOST_SIZES, accumulated_recompile_limit=_MOST_SIZES):
            yield
    except Exception as error:
        if not _is_of_the_compiler(error):
            raise
        why = _reason(error)
        raise RunError(
            f"--compile does not work here: {why}. Install a C++ compiler (g++), if that is what is"
            " missing, or leave out --compile."
        ) from error
    finally:
        remarks.setLevel(level)


def stance(code: Code, images: int, usual: int) -> AbstractContextManager[Any]:
    """Choose how a part of a batch is computed, by nothing but its size.

    One of which images could not be read is computed by the plain network: to compile for it would take longer.
    """
    return torch.compiler.set_stance("force_eager") if code == "compiled" and images != usual else nullcontext()


def _reason(error: BaseException) -> str:
    """Give the first line of an error that says something; "backend='inductor' raised:" does not."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    return next((line.rstrip(".") for line in lines if not line.endswith("raised:")), type(error).__name__)


def _is_of_the_compiler(error: BaseException) -> bool:
    """Tell whether an error is one of the many classes of PyTorch's compilers."""
    return any(each.__module__.startswith(("torch._dynamo", "torch._inductor")) for each in type(error).__mro__)
