"""`graft convert`."""

from pathlib import Path
from typing import Literal

from visiongraft.cli.values import ImageSize, check_no_training_state, check_writable, parse_image
from visiongraft.errors import GraftError, counted, printable
from visiongraft.weights.convert_file import Conversion, convert_file
from visiongraft.weights.foreign import Which
from visiongraft.weights.imagenet import imagenet_classes
from visiongraft.weights.sources import find_weight_sets
from visiongraft.weights.store import is_ours


def run(
    weights: Path,
    output: Path,
    *,
    from_: str,
    model: str,
    take: Which = "auto",
    classes: Literal["unnamed", "imagenet"] = "unnamed",
    image: ImageSize | None = None,
    existing: Literal["keep", "replace"] = "keep",
) -> Conversion:
    """Turn a weight file of others into one that graft eval, predict and train take.

    Every tensor is used and every one of ours is filled, or nothing is written. Nothing in the file is executed.
    The numbers of classes and of channels, and the native image size, are those of the weights.

    Examples:
        graft convert cotnet50.pth.tar --from cotnet --model cotnet50 cotnet50.safetensors
        graft convert mine.pth --from timm --model coatnet_0_rw_224 mine.safetensors --take last
        graft convert resnet50.pth --from timm --model resnet50.tv_in1k resnet50.safetensors

    Args:
        weights: the file to read: .safetensors, or a checkpoint of PyTorch
        output: the .safetensors file to write
        from_: whose it is: timm, cotnet (JDAI-CV), convmixer (locuslab); of BoTNet's lucidrains, leaderj1001 or pprp
        model: the network that the weights are of, a name of `graft list`, with a tag if they are published ones
        take: which weights, where the file holds averaged ones beside the last; auto is averaged where there are any
        classes: note the names of ImageNet's classes in the file, or none
        image: native size of the weights, as 224 or as 256x128 for height and width, where shapes leave it open
        existing: what to do where the file to write is there already
    """
    if output.suffix != ".safetensors":
        raise GraftError(f"OUTPUT is a file whose name ends in .safetensors, and got {str(output)!r}.")
    check_writable(output, "OUTPUT", kind="file")
    check_no_training_state(weights)
    if is_ours(weights):
        raise GraftError(
            f"{str(weights)!r} is a file of ours already. Use it as it is: graft info tells of what network."
        )
    if existing == "keep" and output.exists():
        raise GraftError(f"{str(output)!r} is there already. Give another OUTPUT, or --existing replace.")
    names = imagenet_classes() if classes == "imagenet" else ()
    size = parse_image(image)
    return convert_file(weights, output, source=from_, name=model, which=take, classes=names, image=size)


def as_json(found: Conversion) -> dict[str, object]:
    """Give what was written, and what was done with the tensors."""
    return {
        "file": str(found.path),
        "name": found.spec.name,
        "num_classes": found.spec.head.num_classes,
        "in_chans": found.spec.in_chans,
        "image": list(found.spec.image),
        "params": found.params,
        "taken": found.taken,
        "averaged": found.averaged,
        "not_taken": list(found.others),
        "prefix": found.prefix,
        "tensors": found.tensors,
        "renamed": found.renamed,
        "rearranged": found.rearranged,
        "preprocessing": found.preprocessing.to_dict(),
        "preprocessing_assumed": found.assumed,
    }


def show(found: Conversion) -> None:
    """Print what was written, and what was done with the tensors."""
    spec, pre = found.spec, found.preprocessing
    height, width = spec.image
    classes = counted(spec.head.num_classes, "class") if spec.head.num_classes else "no classifier"
    print(
        f"{printable(str(found.path))}: {printable(spec.name)}, {found.params / 1e6:.2f} million parameters,"
        f" {classes}, {counted(spec.in_chans, 'channel')}, {height}x{width} pixels"
    )
    print(f"weights  {_taken(found)}")
    prefix = f", {printable(found.prefix)!r} taken off every name" if found.prefix else ""
    changes = f"{found.renamed} renamed, {found.rearranged} rearranged"
    print(f"tensors  {found.tensors} read{prefix}, {changes}; none left over")
    mean, std = (" ".join(f"{each:g}" for each in values) for values in (pre.mean, pre.std))
    note = f"; assumed, {_why(spec.name)}" if found.assumed else ""
    print(f"images   {pre.interpolation}, {pre.fit} {pre.crop:g}, mean {mean}, std {std}{note}")


def _why(name: str) -> str:
    """Say why what images go through had to be guessed."""
    sets = find_weight_sets(name)
    if not sets:
        return "since this source's own is not known"
    return f"since weights of {name} differ in it: if these are published ones, say which, as --model {sets[0].name}"


def _taken(found: Conversion) -> str:
    kind = "the averaged ones" if found.averaged else "the last ones" if found.others else "the only ones"
    named = f"{kind}, {printable(found.taken)}" if found.taken else kind
    return f"{named}; not taken: {printable(', '.join(found.others))}" if found.others else named
