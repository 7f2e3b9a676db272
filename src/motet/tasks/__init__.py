"""The tasks room: one file per kind of task, each a Spec, a codec of its labels and answers, and a head."""

from typing import Annotated

from pydantic import Field

from motet.tasks.base import Codec, Metric, TaskSpec
from motet.tasks.binary import Binary, BinaryCodec
from motet.tasks.count import Count, CountCodec
from motet.tasks.depth import Depth, DepthCodec
from motet.tasks.detection import Detection, DetectionCodec
from motet.tasks.generation import Generation, GenerationCodec
from motet.tasks.heads import LinearHead
from motet.tasks.matching import Matching, MatchingCodec
from motet.tasks.multiclass import Multiclass, MulticlassCodec
from motet.tasks.multilabel import Multilabel, MultilabelCodec
from motet.tasks.ordinal import Ordinal, OrdinalCodec
from motet.tasks.part import PartHead, PartTask, Reading, Source
from motet.tasks.ranking import Ranking, RankingCodec
from motet.tasks.reconstruction import Reconstruction
from motet.tasks.regression import GaussianCodec, QuantileCodec, Regression, RegressionCodec, SeveralCodec
from motet.tasks.row import Head, RowCodec, RowTask
from motet.tasks.segmentation import Segmentation, SegmentationCodec
from motet.tasks.survival import Survival, SurvivalCodec
from motet.tasks.synthesis import Synthesis, SynthesisCodec
from motet.tasks.tagging import Tagging, TaggingCodec
from motet.tasks.transcription import Transcription, TranscriptionCodec

AnyTask = Annotated[
    Binary
    | Count
    | Depth
    | Detection
    | Generation
    | Matching
    | Multiclass
    | Multilabel
    | Ordinal
    | Ranking
    | Reconstruction
    | Regression
    | Segmentation
    | Survival
    | Synthesis
    | Tagging
    | Transcription,
    Field(discriminator="kind"),
]

__all__ = [
    "AnyTask",
    "Binary",
    "BinaryCodec",
    "Codec",
    "Count",
    "CountCodec",
    "Depth",
    "DepthCodec",
    "Detection",
    "DetectionCodec",
    "GaussianCodec",
    "Generation",
    "GenerationCodec",
    "Head",
    "LinearHead",
    "Matching",
    "MatchingCodec",
    "Metric",
    "Multiclass",
    "MulticlassCodec",
    "Multilabel",
    "MultilabelCodec",
    "Ordinal",
    "OrdinalCodec",
    "PartHead",
    "PartTask",
    "QuantileCodec",
    "Ranking",
    "RankingCodec",
    "Reading",
    "Reconstruction",
    "Regression",
    "RegressionCodec",
    "RowCodec",
    "RowTask",
    "Segmentation",
    "SegmentationCodec",
    "SeveralCodec",
    "Source",
    "Survival",
    "SurvivalCodec",
    "Synthesis",
    "SynthesisCodec",
    "Tagging",
    "TaggingCodec",
    "TaskSpec",
    "Transcription",
    "TranscriptionCodec",
]
