"""What takes this package along into the processes that Ultralytics starts for several devices."""

from dataclasses import dataclass

from visiongraft.vocabulary import register, registered


@dataclass(frozen=True)
class Carried:
    """A callback that does nothing but to be there.

    For several devices Ultralytics starts an interpreter for each, which reads the callbacks of the training before it
    builds the model. Reading this one imports `visiongraft.yolo`, and registers the mixers that the user registered.
    """

    def __call__(self, trainer: object) -> None:
        """Do nothing."""

    def __reduce__(self) -> tuple[object, ...]:
        """Say how to make it again: by `carry`, with the words that are not of this package."""
        own = (each for each in registered().values() if not each.__module__.startswith("visiongraft."))
        return carry, (tuple(own),)


def carry(words: tuple[type, ...]) -> Carried:
    """Register words, and give the callback again."""
    known = registered()
    for each in words:
        if each.__name__ not in known:
            register(each)
    return Carried()
