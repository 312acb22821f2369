"""A network as one types it on the command line."""

from visiongraft.surgery.foreign import Blueprint, Foreign, Grafted
from visiongraft.vocabulary import spelt


def as_typed(spec: Blueprint) -> dict[str, object]:
    """Give the options of `graft train` that name a network."""
    if isinstance(spec, Foreign):
        return {"model": spec.source}
    if not isinstance(spec, Grafted):
        return {"model": spec.name}
    texts = [f"{each.at}{'=' if each.mode == 'replace' else '+='}{spelt(each.mixer)}" for each in spec.grafts]
    lost = sorted({each for graft in spec.grafts for each in graft.lose})
    return {**as_typed(spec.base), "graft": "; ".join(texts)} | ({"graft_lose": ",".join(lost)} if lost else {})
