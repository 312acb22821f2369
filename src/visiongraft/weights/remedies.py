"""What to do about foreign weights that do not fit: which form or which network they are of, or what is wrong."""

from visiongraft.weights.faults import Comparison
from visiongraft.weights.forms import other_forms
from visiongraft.weights.native_size import LARGEST_IMAGE
from visiongraft.weights.origins import SOURCES
from visiongraft.weights.prefixes import part_of, place_of
from visiongraft.weights.renaming import shape_of
from visiongraft.weights.resemblance import resembling


def remedy(compared: Comparison, source: str) -> str:
    """Say what to do about weights of a source that do not fit."""
    faults, found, wanted, spec = compared.faults, compared.found, compared.wanted, compared.spec
    if not faults.misshapen and len(faults.missing) == len(faults.left) == 1:
        theirs, other = faults.missing[0], faults.left[0]
        if wanted[theirs].fits(shape_of(found[other])):
            return f"If {other!r} is {theirs!r} by another name, rename it."
    forms = other_forms(compared)
    if forms:
        said = (", ".join(f"{key}={value}" for key, value in each.items()) for each in forms)
        specs = " or ".join(f"name=create_model({spec.name!r}, {each}).spec" for each in said)
        which = "; the shapes do not tell which" if len(forms) > 1 else ""
        return f"They fit another form of it: ask for {specs}{which}."
    tables = sum(wanted[name].tables is not None for name in faults.misshapen)
    if faults.count - tables > _FEW * len(wanted):
        return _resemblance(compared, source, faults.count - tables)
    if tables == faults.count:
        return (
            f"No images of up to {LARGEST_IMAGE} pixels a side have such position tables: take them from their source"
            " again, and check which image size they are of."
        )
    if faults.count == len(faults.left):
        return "All of the network is there: if the rest is of a loss or a metric, give the weights without it."
    return "Take them from their source again, or ask for the network that they are of."


def _resemblance(compared: Comparison, source: str, faults: int) -> str:
    """Say which network the weights look like, of this source or of another one, or where in them one is."""
    found, sources = compared.found, sorted(SOURCES, key=lambda each: each != source)
    for each in sources:
        better = resembling(found, SOURCES[each], below=_MUCH * min(faults, len(found)))
        if better:
            whose, where = ("", "") if each == source else (f"{each}'s ", f" from {each!r}")
            return f"These look like {whose}{' or '.join(better)} weights: ask for {better[0]!r}{where}."
    if place := place_of(found.keys(), compared.layout, compared.spec):
        place = compared.prefix + place
        return (
            f"Their network seems to be what {place!r} holds, among other things: take that out, with"
            " torch.save({name: each for name, each in STATE_DICT.items() if"
            f" name.startswith({place + '.'!r})}}, NEW), where STATE_DICT is such as"
            " torch.load(FILE)['state_dict'], and give that."
        )
    for each in sources:
        if part := part_of(found, SOURCES[each]):
            network, place, prefix = part
            instead = f", and not {prefix!r}" if prefix else ""
            return (
                f"These are weights of a part alone: {place!r} of {each}'s {network}. Give those of the whole network,"
                f" in which each of these names has {place + '.'!r} before it{instead}."
            )
    return "They look like no network that is known here: check where they come from."


_MUCH = 0.2  # a fit with a fifth of the faults is a better one
_FEW = 0.02  # of a network's tensors: so many may be damaged in a file that is otherwise the network's own
