"""Vision networks that mix convolution and attention: choose, train, graft, compare and ship them."""

from importlib import import_module
from types import ModuleType

from visiongraft.blocks.basic import Basic
from visiongraft.blocks.bottleneck import Bottleneck
from visiongraft.blocks.convmixer import ConvMixerBlock
from visiongraft.blocks.convnext import ConvNeXt
from visiongraft.blocks.head import Head
from visiongraft.blocks.listings import SimplifiedContextualTransformer
from visiongraft.blocks.mbconv import MBConv
from visiongraft.blocks.mixers import BlurAfter, ContextualTransformer, Conv, GatedConv, GridAttention
from visiongraft.blocks.non_local import NonLocal
from visiongraft.blocks.positions import PlaneNetwork, PlaneTable
from visiongraft.blocks.primitives import EfficientChannelAttention, SqueezeExcite
from visiongraft.blocks.relative_transformer import RelativeTransformer
from visiongraft.blocks.site import Block, Mixer, Runtime, Site
from visiongraft.blocks.stems import CoAtNetStem, DeepStem, PatchEmbedStem, PatchStem, ResNetStem, SmallStem
from visiongraft.data.sources import open_data
from visiongraft.errors import GraftError
from visiongraft.families.zoo import get_spec
from visiongraft.network import FeatureExtractor, Network
from visiongraft.preprocessing import Preprocessing
from visiongraft.spec import Backbone, Stage, small_image
from visiongraft.summary import Summary, summarize
from visiongraft.surgery.foreign import Foreign, Grafted
from visiongraft.surgery.graft import Grafting, graft
from visiongraft.surgery.network import ForeignNetwork, build
from visiongraft.surgery.report import GraftReport
from visiongraft.surgery.words import Graft
from visiongraft.vocabulary import register
from visiongraft.weights.convert import convert, convert_layer
from visiongraft.weights.folder import from_pretrained, save_pretrained
from visiongraft.weights.models import create_model, list_models, load_pretrained, read_weights
from visiongraft.weights.sources import WeightSet, get_weight_set
from visiongraft.weights.store import Trained, load, save

__version__ = "0.1.0"

__all__ = [
    "Backbone",
    "Basic",
    "Block",
    "BlurAfter",
    "Bottleneck",
    "CoAtNetStem",
    "ContextualTransformer",
    "Conv",
    "ConvMixerBlock",
    "ConvNeXt",
    "DeepStem",
    "EfficientChannelAttention",
    "FeatureExtractor",
    "Foreign",
    "ForeignNetwork",
    "GatedConv",
    "Graft",
    "GraftError",
    "GraftReport",
    "Grafted",
    "Grafting",
    "GridAttention",
    "Head",
    "MBConv",
    "Mixer",
    "Network",
    "NonLocal",
    "PatchEmbedStem",
    "PatchStem",
    "PlaneNetwork",
    "PlaneTable",
    "Preprocessing",
    "RelativeTransformer",
    "ResNetStem",
    "Runtime",
    "SimplifiedContextualTransformer",
    "Site",
    "SmallStem",
    "SqueezeExcite",
    "Stage",
    "Summary",
    "Trained",
    "WeightSet",
    "build",
    "convert",
    "convert_layer",
    "create_model",
    "from_pretrained",
    "get_spec",
    "get_weight_set",
    "graft",
    "list_models",
    "load",
    "load_pretrained",
    "open_data",
    "read_weights",
    "register",
    "save",
    "save_pretrained",
    "small_image",
    "summarize",
]


def __getattr__(name: str) -> ModuleType:
    """Import `visiongraft.deploy` and `visiongraft.detect` where they are asked for."""
    if name in ("deploy", "detect"):
        return import_module(f"visiongraft.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
