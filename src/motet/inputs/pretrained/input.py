"""Inputs that a pretrained model may encode."""

from abc import ABC
from pathlib import Path
from typing import Self

from motet.inputs.base import Encoder, InputSpec
from motet.inputs.pretrained.encoder import PretrainedEncoder
from motet.inputs.pretrained.spec import Pretrained


class MayBePretrained(InputSpec, ABC):
    """An input whose field `encoder` may be `Pretrained`: where its folder is, and the weights to start from."""

    @property
    def pretrained(self) -> Pretrained | None:
        """The encoder, where it is a pretrained one."""
        encoder = getattr(self, "encoder", None)
        return encoder if isinstance(encoder, Pretrained) else None

    def located(self, base: Path) -> Self:
        """With the folder of the model as it is seen from anywhere."""
        return self._with(self.pretrained and self.pretrained.located(base))

    def portable(self) -> Self:
        """With the name of the model's folder alone."""
        return self._with(self.pretrained and self.pretrained.portable())

    def start(self, encoder: Encoder) -> None:
        """From the weights of the model."""
        if self.pretrained is not None:
            inner = getattr(encoder, "encoder", encoder)  # of a bag
            assert isinstance(inner, PretrainedEncoder)
            self.pretrained.start(inner)

    def _with(self, encoder: Pretrained | None) -> Self:
        return self if encoder is None else self.model_copy(update={"encoder": encoder})
