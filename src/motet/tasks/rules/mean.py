"""The weighted mean of what the streams say: of probabilities for labels, of values for numbers."""

from collections.abc import Mapping

from torch import Tensor

from motet.nn.pooling import hide
from motet.tasks.rules.base import Opinion, PlainRule
from motet.tasks.streams import mean_of_classes, mean_of_logits, mean_value


class MeanOfClasses(PlainRule):
    """`p = sum_s w_s softmax(z_s)`; the output is log p."""

    def forward(self, opinions: Mapping[str, Opinion]) -> Tensor:
        """Log probabilities `[B, C]`."""
        return mean_of_classes(outputs_of(opinions), weights_of(opinions))


class MeanOfLogits(PlainRule):
    """`p = sum_s w_s sigmoid(z_s)`, each label on its own; the output is the logit of p."""

    def forward(self, opinions: Mapping[str, Opinion]) -> Tensor:
        """Logits `[B, ...]`."""
        return mean_of_logits(outputs_of(opinions), weights_of(opinions))


class MeanOfNumbers(PlainRule):
    """`y = sum_s w_s y_s`."""

    def forward(self, opinions: Mapping[str, Opinion]) -> Tensor:
        """Values `[B, ...]`."""
        return mean_value(outputs_of(opinions), weights_of(opinions))


def outputs_of(opinions: Mapping[str, Opinion]) -> dict[str, Tensor]:
    """What each stream says, 0 where it is absent."""
    return {stream: hide(opinion.output, opinion.present) for stream, opinion in opinions.items()}


def weights_of(opinions: Mapping[str, Opinion]) -> dict[str, Tensor]:
    """With which share."""
    return {stream: opinion.weight for stream, opinion in opinions.items()}
