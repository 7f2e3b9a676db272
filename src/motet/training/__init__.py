"""The loop, the step, the optimiser, checkpoints, device and log of one training."""

from motet.training.checkpoint import CheckpointFolder, Position
from motet.training.compiled import compile_encoders
from motet.training.device import autocast, has_bfloat16, num_cores, pick_device
from motet.training.interrupt import Interrupted
from motet.training.log import NoLog, RunLog, read_log
from motet.training.loop import Loop
from motet.training.optimizer import build_optimizer
from motet.training.progress import Bars, Lines, Progress, Quiet, progress_for
from motet.training.spec import TrainingSpec
from motet.training.step import StepResult, train_step
from motet.training.validation import Validation

__all__ = [
    "Bars",
    "CheckpointFolder",
    "Interrupted",
    "Lines",
    "Loop",
    "NoLog",
    "Position",
    "Progress",
    "Quiet",
    "RunLog",
    "StepResult",
    "TrainingSpec",
    "Validation",
    "autocast",
    "build_optimizer",
    "compile_encoders",
    "has_bfloat16",
    "num_cores",
    "pick_device",
    "progress_for",
    "read_log",
    "train_step",
]
