"""The experiment: one field per room. Each room validates its own paragraph; this page only puts them together."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, PlainSerializer, WrapValidator, field_validator

from motet.balance import AnyModalityBalancer, AnyTaskBalancer, Fixed, NoThrottle
from motet.balance.base import BalancerSpec, ThrottleSpec
from motet.core.component import ComponentSpec, Frozen, shorthand
from motet.data import DataSpec
from motet.evaluation.spec import EvaluationSpec
from motet.fusion import AnyFusion, Auto
from motet.fusion.base import FusionSpec
from motet.inputs import AnyInput
from motet.inputs.base import InputSpec
from motet.sharing import AnySharing, Hard
from motet.sharing.base import SharingSpec
from motet.tasks import AnyTask
from motet.tasks.base import TaskSpec
from motet.training.spec import TrainingSpec

S = TypeVar("S", bound=ComponentSpec)


def _or_own(base: type[S]) -> WrapValidator:
    """A word of the registry, or a Spec object the caller made (of motet's or a third party's class)."""
    return WrapValidator(lambda value, handler: value if isinstance(value, base) else handler(shorthand(value)))


_DUMP = PlainSerializer(lambda spec: spec.model_dump(mode="json"), return_type=dict[str, Any])

Input = Annotated[AnyInput, _or_own(InputSpec), _DUMP]
Task = Annotated[AnyTask, _or_own(TaskSpec), _DUMP]


class Balance(Frozen):
    """Who may move what is shared, and how much: between the tasks, and between the inputs."""

    tasks: Annotated[AnyTaskBalancer, _or_own(BalancerSpec), _DUMP] = Field(
        default=Fixed(), description="Between the tasks."
    )
    modalities: Annotated[AnyModalityBalancer, _or_own(ThrottleSpec), _DUMP] = Field(
        default=NoThrottle(), description="Between the inputs."
    )
    watch: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        default="auto",
        description="Compare the tasks' gradients every so many steps, for the cosines in the log and for `motet "
        "group`; 0: never; auto: 10 times the number of tasks, 20 at least; 0 where there is nothing to compare, or "
        "more than 16 tasks.",
    )


class Experiment(Frozen):
    """Everything that decides what is trained: the same in YAML and in Python, field for field.

    >>> experiment = Experiment(data={"train": "a.csv"}, inputs={"photo": "image"}, tasks={"rating": "regression"})
    >>> experiment.inputs["photo"].kind, experiment.fusion.kind
    ('image', 'auto')
    """

    data: DataSpec = Field(description="Where the rows are and how they are split.")
    inputs: dict[str, Input] = Field(min_length=1, description="What the model is given, by name.")
    tasks: dict[str, Task] = Field(min_length=1, description="What the model answers, by name.")
    fusion: Annotated[AnyFusion, _or_own(FusionSpec), _DUMP] = Field(
        default=Auto(), description="How inputs become one."
    )
    sharing: Annotated[AnySharing, _or_own(SharingSpec), _DUMP] = Field(
        Hard(), description="What tasks have in common."
    )
    balance: Balance = Field(default=Balance(), description="How tasks and inputs are balanced.")
    training: TrainingSpec = Field(default=TrainingSpec(), description="How it is trained.")
    evaluation: EvaluationSpec = Field(default=EvaluationSpec(), description="What its report looks into.")

    @field_validator("data", mode="before")
    @classmethod
    def _table_alone(cls, value: Any) -> Any:
        """`data: reviews.csv` stands for `data: {train: reviews.csv}`, and so does a table in memory."""
        return value if value is None or isinstance(value, dict | DataSpec) else {"train": value}

    @field_validator("inputs", "tasks")
    @classmethod
    def _plain_names(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if not name or name != name.strip() or "__" in name:
                raise ValueError(f"{name!r} can not be a name: it is empty, has outer spaces or a double underscore")
        return value
