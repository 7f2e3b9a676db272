"""The tasks room: one file per kind of task, each a Spec, a codec of its labels and answers, and a head."""

from typing import Annotated

from pydantic import Field

from motet.tasks.base import Codec, Metric, TaskSpec
from motet.tasks.binary import Binary, BinaryCodec
from motet.tasks.heads import LinearHead
from motet.tasks.multiclass import Multiclass, MulticlassCodec
from motet.tasks.multilabel import Multilabel, MultilabelCodec
from motet.tasks.part import PartHead, PartTask, Reading, Source
from motet.tasks.regression import Regression, RegressionCodec
from motet.tasks.row import Head, RowCodec, RowTask

AnyTask = Annotated[Binary | Multiclass | Multilabel | Regression, Field(discriminator="kind")]

__all__ = [
    "AnyTask",
    "Binary",
    "BinaryCodec",
    "Codec",
    "Head",
    "LinearHead",
    "Metric",
    "Multiclass",
    "MulticlassCodec",
    "Multilabel",
    "MultilabelCodec",
    "PartHead",
    "PartTask",
    "Reading",
    "Regression",
    "RegressionCodec",
    "RowCodec",
    "RowTask",
    "Source",
    "TaskSpec",
]
