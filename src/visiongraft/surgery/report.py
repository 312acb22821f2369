"""What a graft changed in a network, and what it kept."""

from dataclasses import dataclass

from torch import nn

from visiongraft.errors import counted
from visiongraft.surgery.places import Place, described
from visiongraft.surgery.words import Graft
from visiongraft.vocabulary import spelt


@dataclass(frozen=True)
class GraftReport:
    """What a graft changed in a network, and what it kept.

    Args:
        graft: what was asked for.
        places: where it went.
        kept: names of the parameters that are as they were, to the bit.
        gone: names of those that went with what was replaced.
        new: names of those that came.
        params_kept: numbers in the parameters that were kept.
        params_before: numbers in all parameters before.
        params_after: numbers in all parameters now.
        macs_before: multiply-adds of one pass on the example before; on the native size for one image, if there was no
            example.
        macs_after: the same now.
        example: shape that these are for; empty where the example was no tensor.
    """

    graft: Graft
    places: tuple[Place, ...]
    kept: tuple[str, ...]
    gone: tuple[str, ...]
    new: tuple[str, ...]
    params_kept: int
    params_before: int
    params_after: int
    macs_before: int
    macs_after: int
    example: tuple[int, ...]

    @property
    def replaced(self) -> tuple[str, ...]:
        """The names of the modules in whose place a mixer is."""
        return tuple(each.name for each in self.places if self.graft.mode == "replace")

    @property
    def inserted(self) -> tuple[str, ...]:
        """The names of the modules behind which a mixer is."""
        return tuple(each.name for each in self.places if self.graft.mode == "insert")

    @property
    def share_kept(self) -> float:
        """The share of the numbers of the network before that were kept, in [0, 1]."""
        return self.params_kept / max(self.params_before, 1)

    def __str__(self) -> str:
        """Tell it in four lines."""
        done = "in the place of" if self.graft.mode == "replace" else "behind"
        before = counted(len(self.kept) + len(self.gone), "tensor")
        size = f" for {'x'.join(map(str, self.example))}" if self.example else ""
        return "\n".join(
            (
                f"grafted  {spelt(self.graft.mixer)} {done} {described(self.places)}",
                f"kept     {len(self.kept)} of {before}, {self.share_kept:.1%} of the weights;"
                f" {len(self.new)} are new",
                f"params   {self.params_before / 1e6:.3f}M before, {self.params_after / 1e6:.3f}M after",
                f"MACs     {self.macs_before / 1e9:.3f}G before, {self.macs_after / 1e9:.3f}G after{size}",
            )
        )


def compared(
    before: nn.Module,
    after: nn.Module,
    graft: Graft,
    places: list[Place],
    *,
    macs: tuple[int, int],
    example: tuple[int, ...],
) -> GraftReport:
    """Compare a network with its grafted copy.

    Args:
        before: the network.
        after: the copy.
        graft: what was asked for.
        places: where it went.
        macs: multiply-adds before and after.
        example: shape that these are for.
    """
    old, now = dict(before.named_parameters()), dict(after.named_parameters())
    roots = tuple(f"{each.name}." for each in places) if graft.mode == "replace" else ()
    gone = tuple(name for name in old if name.startswith(roots))
    kept = tuple(name for name in old if name not in set(gone))
    assert all(now[name].shape == old[name].shape for name in kept), "a graft renames and changes nothing"
    return GraftReport(
        graft=graft,
        places=tuple(places),
        kept=kept,
        gone=gone,
        new=tuple(name for name in now if name not in set(kept)),
        params_kept=sum(old[name].numel() for name in kept),
        params_before=sum(each.numel() for each in old.values()),
        params_after=sum(each.numel() for each in now.values()),
        macs_before=macs[0],
        macs_after=macs[1],
        example=example,
    )
