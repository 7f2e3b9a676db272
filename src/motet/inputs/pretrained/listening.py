"""Models that hear: prepared sounds -> states, and which of them are of the sound.

Shapes: N rows, S samples, F frames, M mel bands, T states, C channels.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from motet.core.errors import SpecError


class FirstLayer(nn.Module):
    """The first convolution of a model of samples whose norm goes over time: `act(norm(conv(x)))`, each row by itself.

    The norm of a channel is of mean and variance over the frames of the row's own sound; samples behind its end are
    NaN, and no frame that one of these is in counts. The library's own norm counts them, so that a row would depend on
    how far it is padded; without padding both are the same.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.conv, self.layer_norm, self.activation = layer.conv, layer.layer_norm, layer.activation

    def forward(self, x: Float[Tensor, "N 1 S"]) -> Float[Tensor, "N C F"]:
        """Samples, NaN behind the end of each sound -> frames, of no meaning there."""
        lengths = x.isnan().logical_not()[:, 0].sum(dim=1)
        frames = self.conv(x.nan_to_num(nan=0.0))
        frames = frames.to(torch.promote_types(frames.dtype, torch.float32))  # sums over time need it
        num_frames = _frames(lengths, self.conv.kernel_size[0], self.conv.stride[0])
        real = (torch.arange(frames.shape[2], device=x.device) < num_frames[:, None])[:, None]
        count = num_frames.clamp(min=1)[:, None, None]
        mean = frames.masked_fill(~real, 0).sum(dim=2, keepdim=True) / count
        apart = (frames - mean).masked_fill(~real, 0)
        scale = torch.rsqrt(apart.square().sum(dim=2, keepdim=True) / count + self.layer_norm.eps)
        normed = apart * scale * self.layer_norm.weight[:, None] + self.layer_norm.bias[:, None]
        heard: Tensor = self.activation(normed)
        return heard


def set_apart(model: Any) -> None:
    """Make a model read each row by itself; raises `SpecError` where it can not.

    What Whisper adds for a place in time is a fixed wave: it learns in no way of tuning.
    """
    config = model.config
    if getattr(config, "add_adapter", False):
        raise SpecError("encoder.model: add_adapter is not supported; its convolutions would read padding")
    if getattr(config, "feat_extract_norm", "") == "group":
        model.feature_extractor.conv_layers[0] = FirstLayer(model.feature_extractor.conv_layers[0])
    if config.model_type == "whisper":
        waves = model.embed_positions.weight.detach()
        del model.embed_positions.weight
        model.embed_positions.register_buffer("weight", waves)


def listen(model: Any, values: Mapping[str, Tensor]) -> tuple[Any, Bool[Tensor, "N T"]]:
    """`samples` and `mask [N, S]`, or `frames [N, F, M]` and `length [N]`, how many are of the sound -> what the model
    found, and which states are of the sound.

    Models of samples do not attend to what lies behind a sound. Models of frames have no mask: they read the silence
    there as part of the sound, and what they say of it is left out. What AST says of the whole stays.
    """
    if "samples" in values:
        return _of_samples(model, values["samples"], values["mask"])
    frames, length = values["frames"], values["length"].clamp(min=1)
    if model.config.model_type == "whisper":
        found = model(input_features=frames.transpose(1, 2))
        return found, torch.arange(found.last_hidden_state.shape[1], device=frames.device) * 2 < length[:, None]
    return model(input_values=frames), _of_patches(model.config, length)


def _of_samples(model: Any, samples: Float[Tensor, "N S"], mask: Bool[Tensor, "N S"]) -> tuple[Any, Tensor]:
    """The states that the model's own formula gives a sound of this length."""
    if isinstance(model.feature_extractor.conv_layers[0], FirstLayer):
        samples = samples.masked_fill(~mask, float("nan"))
    with _unwarned():
        found = model(input_values=samples, attention_mask=mask.long())
    states = found.last_hidden_state
    num_states = model._get_feat_extract_output_lengths(mask.sum(dim=1)).clamp(min=1)
    return found, torch.arange(states.shape[1], device=states.device) < num_states[:, None]


def _of_patches(config: Any, length: Int64[Tensor, "N"]) -> Bool[Tensor, "N T"]:
    """Two states of the whole, then band by band of patches those that begin within the sound."""
    places = (config.max_length - config.patch_size) // config.time_stride + 1
    bands = (config.num_mel_bins - config.patch_size) // config.frequency_stride + 1
    within = torch.arange(places, device=length.device) * config.time_stride < length[:, None]
    return torch.cat([torch.ones_like(within[:, :1]).expand(-1, 2), within.repeat(1, bands)], dim=1)


def _frames(lengths: Int64[Tensor, "N"], kernel: int, stride: int) -> Int64[Tensor, "N"]:
    return torch.div(lengths - kernel, stride, rounding_mode="floor") + 1


@contextmanager
def _unwarned() -> Iterator[None]:
    """Without a note that WavLM gives its attention masks of two types."""
    if torch.compiler.is_compiling():
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
        yield
