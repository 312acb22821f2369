"""The verbs by name. A verb's module is only imported when it is used, so that `graft list` starts quickly."""

from importlib import import_module
from types import ModuleType
from typing import NamedTuple


class Verb(NamedTuple):
    """One verb: its name, of one word or two, what it does in a few words, and where it lives.

    Its module has `run`, whose arguments are the options and whose docstring is the help, `as_json`, which turns what
    `run` gave into plain values, and `show`, which prints it for a person. Where a result that is worth printing can
    still be a failure, it has `check`, which says so on standard error and may give the exit code, or raises.
    """

    name: str
    purpose: str
    module: str

    def load(self) -> ModuleType:
        """Import its module."""
        return import_module(f"visiongraft.cli.{self.module}")


VERBS = (
    Verb("list", "list the networks of the zoo", "list_models"),
    Verb("info", "show what a network is made of, and what it costs", "info"),
    Verb("doctor", "examine images before a training", "doctor"),
    Verb("shards", "write images as shards, from which a training streams", "shards"),
    Verb("train", "train a network on images", "train"),
    Verb("eval", "score a trained network on labelled images", "evaluate"),
    Verb("compare", "find out which of several networks is better on your data, and how sure that is", "compare"),
    Verb("bench", "time networks beside the same networks of others", "bench"),
    Verb("predict", "classify files and folders of images", "predict"),
    Verb("detect train", "train a detector on images with boxes or masks", "detect_train"),
    Verb("detect eval", "score a trained detector on images with boxes or masks", "detect_eval"),
    Verb("detect predict", "find objects on files and folders of images", "detect_predict"),
    Verb("convert", "turn a weight file of others into one of ours", "convert"),
)
