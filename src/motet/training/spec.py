"""The training paragraph of an experiment, and what its "auto" means."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from motet.core.component import Frozen
from motet.training.mix import AnyMix

Auto = Literal["auto"]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


class InitFrom(Frozen):
    """A model that was trained before, and which of its inputs to start from.

    >>> InitFrom(run="runs/pre", inputs={"infrared": "photo"}).inputs
    {'infrared': 'photo'}
    """

    run: str = Field(min_length=1, description="The folder of a run or a bundle, relative to the experiment file.")
    inputs: dict[str, str] | None = Field(
        default=None,
        min_length=1,
        description="By the name of an input here, that of the one there whose encoder and preparation it takes; left "
        "out, each takes those of its own name.",
    )

    def located(self, base: Path) -> Self:
        """With the folder as it is seen from anywhere; `base` is where a relative one starts."""
        return self.model_copy(update={"run": str((base / self.run).resolve())})


def _folder_alone(value: Any) -> Any:
    """`init_from: runs/pre` stands for `init_from: {run: runs/pre}`."""
    return {"run": str(value)} if isinstance(value, str | Path) else value


class TrainingSpec(Frozen):
    """How to train. Every "auto" is replaced by a number before training, by rules that never look at a clock."""

    epochs: Count | Auto = Field(
        default="auto", description="Passes over the training rows; auto: fewer for more rows."
    )
    minutes: float | None = Field(
        default=None, gt=0, description="Stop after this much training time, keeping the best weights."
    )
    batch_size: Count | Auto = Field(
        default="auto", description="Rows per forward pass; auto: 32 to 256 by the number of rows."
    )
    group_lengths: bool = Field(
        default=False,
        description="Rows of like length meet in a batch, so that less is padded; chance has a little less say.",
    )
    optimizer: Literal["adamw", "adam", "sgd"] = Field(default="adamw", description="sgd has momentum 0.9.")
    learning_rate: Positive | Auto = Field(
        default="auto", description="The peak; auto: 0.002 for Adam and AdamW, 0.05 for sgd."
    )
    schedule: Literal["constant", "cosine", "linear"] = Field(
        default="constant",
        description="After the warm-up: the peak rate to the end (the average takes the noise out), or down to 0.",
    )
    warmup: float = Field(
        default=0.05, ge=0, lt=1, description="The fraction of all steps in which the rate rises from 0."
    )
    average: float = Field(
        default=0.998, ge=0, lt=1, description="Decay of the moving average of the weights that is kept; 0 for none."
    )
    mix: AnyMix | None = Field(
        default=None, description="mixup or cutmix: rows are mixed in pairs, and their labels in the same shares."
    )
    weight_decay: float = Field(
        default=0.01, ge=0, description="On weights and embeddings; never on biases, norms and absent tokens."
    )
    clip: float | None = Field(default=1.0, gt=0, description="The largest gradient norm of a step; null for none.")
    accumulate: int = Field(
        default=1, ge=1, description="Forward passes per step: rows per step = batch_size x accumulate."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="auto: bfloat16 on a GPU that has it."
    )
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1, ...")
    devices: int = Field(
        default=1,
        ge=1,
        description="Processes that train side by side, each on a part of every batch and, where there are GPUs, one "
        "of its own. torchrun sets their number itself.",
    )
    shard: bool = Field(
        default=False,
        description="Of several processes each keeps only a part of the weights of encoders and fusion, of their "
        "gradients and of what the optimizer remembers of them (FSDP2): for models too large for one GPU.",
    )
    compile: bool = Field(
        default=False,
        description="Compile the encoders with torch.compile: worth it for long runs. Not together with shard.",
    )
    workers: Annotated[int, Field(ge=0)] | Auto = Field(
        default="auto", description="Loading processes; auto: 0 when the decoded table fits in memory."
    )
    patience: Count | Auto | None = Field(
        default="auto",
        description="Stop after this many epochs without gain; null never stops; auto: a third of the epochs.",
    )
    seed: int = Field(
        default=0, ge=0, description="Initial weights, order of rows, dropout, augmentation and the split."
    )
    tensorboard: bool = Field(
        default=False, description="Also write the curves to RUN/tensorboard (needs the track extra)."
    )
    init_from: Annotated[InitFrom | None, BeforeValidator(_folder_alone)] = Field(
        default=None,
        description="Start from what the model in this folder of a run learned: its encoders with their preparations, "
        "its fusion and what its tasks shared. A folder, or a mapping that says of which inputs.",
    )

    @model_validator(mode="after")
    def _compiles_whole_weights(self) -> Self:
        if self.compile and self.shard:
            raise ValueError("compile takes encoders whose weights each process has whole; leave out compile or shard")
        return self

    def resolved(self, *, num_rows: int, streaming: bool, device: str, bfloat16: bool, cores: int) -> Self:
        """Without "auto", for a training set of `num_rows` rows."""
        epochs = _auto_epochs(num_rows) if self.epochs == "auto" else self.epochs
        auto = {
            "epochs": epochs,
            "batch_size": _auto_batch_size(num_rows),
            "learning_rate": 0.05 if self.optimizer == "sgd" else 2e-3,
            "precision": "bfloat16" if bfloat16 else "float32",
            "device": device,
            "workers": min(4, cores) if streaming else 0,
            "patience": max(5, math.ceil(epochs / 3)),
        }
        return self.model_copy(update={name: value for name, value in auto.items() if getattr(self, name) == "auto"})


def _auto_epochs(num_rows: int) -> int:
    """About 150,000 rows seen in all, between 20 and 60 passes; early stopping ends most runs sooner."""
    return max(20, min(60, round(150_000 / max(num_rows, 1))))


def _auto_batch_size(num_rows: int) -> int:
    """About 150 steps an epoch: a power of two from 32 to 256."""
    return int(2 ** max(5, min(8, round(math.log2(max(num_rows, 1) / 150)))))
