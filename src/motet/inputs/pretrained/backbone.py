"""One call for every family: prepared cells -> states of the last layer. N rows, T states, D width."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from motet.inputs.pretrained.families import Modality
from motet.inputs.pretrained.listening import listen, set_apart

LAYERS = ("layer", "layers", "block", "stages")


class Read(NamedTuple):
    """What a model says of N rows: states of its last layer, which of them are real, and what it pools, if it does."""

    states: Float[Tensor, "N T D"]
    mask: Bool[Tensor, "N T"]
    pooled: Float[Tensor, "N P"] | None


class Backbone(nn.Module):
    """A model of `transformers` behind one call.

    Text is read from `ids` and `mask`, a picture or a clip from `pixels`, a sound from `samples` and `mask` or
    from `frames` and `length`. Maps are read cell by cell, row by row.
    """

    def __init__(self, model: nn.Module, modality: Modality) -> None:
        super().__init__()
        self.model, self.modality = model, modality
        self.width = _width(model)
        if modality == "audio":
            set_apart(model)

    def forward(self, values: Mapping[str, Tensor]) -> Read:
        """Prepared cells -> states."""
        if self.modality == "text":
            mask = values["mask"]
            found = self.model(input_ids=values["ids"], attention_mask=mask.long())
            return Read(found.last_hidden_state, mask, _pooled(found))
        if self.modality == "audio":
            found, mask = listen(self.model, values)
            return Read(found.last_hidden_state, mask, _pooled(found))
        clips = type(self.model).__name__ == "VJEPA2Encoder"
        found = self.model(**{"pixel_values_videos" if clips else "pixel_values": values["pixels"]})
        states = found.last_hidden_state
        if states.dim() == 4:
            states = states.flatten(2).transpose(1, 2)
        mask = torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
        return Read(states, mask, _pooled(found))

    def layers(self) -> list[nn.Module]:
        """The layers one upon another, the one next to the input first."""
        for name, module in self.model.named_modules():
            parts = name.split(".")
            if isinstance(module, nn.ModuleList) and parts[-1] in LAYERS and "predictor" not in parts:
                return list(module)
        return []


def _pooled(found: object) -> Float[Tensor, "N P"] | None:
    pooled: Tensor | None = getattr(found, "pooler_output", None)
    return None if pooled is None else pooled.flatten(1)


def _width(model: Any) -> int:
    """The width of the last layer's states."""
    config = model.config
    if config.model_type == "mobilenet_v2":
        return int(model.conv_1x1.convolution.out_channels)
    sizes = getattr(config, "hidden_sizes", None)
    return int(sizes[-1] if sizes else config.hidden_size)
