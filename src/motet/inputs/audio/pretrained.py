"""Sounds as the feature extractor of a pretrained model makes them.

Shapes: S samples, F frames of a sound, T frames the model reads, M mel bands.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from motet.inputs.audio.preparation import SoundPreparation, varied
from motet.inputs.pretrained import (
    extractor_fields,
    frames_of,
    heard_frames,
    heard_samples,
    least_samples,
    made_extractor,
    spare_frames,
    width_of,
)


class PretrainedAudioPreparation(SoundPreparation):
    """Samples, or log-mel frames, as the feature extractor of a pretrained model makes them.

    `config` is that of the model. A sound shorter than what the model says one thing of is padded with zeros. Of frames
    an item has those of the sound and `spare` ones behind it, the last of which the model reads as often as there are
    more to its fixed length.
    """

    config: dict[str, Any]
    extractor: dict[str, Any]

    @property
    def width(self) -> int:
        """That of the model's states."""
        return width_of(self.config)

    @property
    def bands(self) -> int | None:
        """Those of a frame; None where the model reads samples."""
        frames = frames_of(self.config)
        return None if frames is None else frames.bands

    def read(self, cell: object) -> Float32[np.ndarray, "F *M"]:
        """Decode, resample, cut off, and what the extractor makes of it."""
        samples = self.samples(cell)
        samples = np.pad(samples, (0, max(0, self._least - len(samples))))
        return heard_samples(self._made, samples) if self.bands is None else heard_frames(self._made, samples)

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Moved in time, then in part hidden, where both times silence is the sound's own mean, of each band."""
        sound = item[: len(item) - self._spare]
        changed = varied(sound, sound.mean(axis=0), generator, shift=self.shift, mask=self.mask)
        return np.concatenate([changed, item[len(sound) :]])

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"samples": [n, S], "mask": [n, S]}`, zeros behind the end, or `{"frames": [n, T, M], "length": [n]}`, where
        `length` counts the frames of the sound.
        """
        frames = frames_of(self.config)
        if frames is not None:
            wide = (frames.length - min(frames.length, len(item)) for item in items)
            padded = [
                np.pad(item[: frames.length], ((0, more), (0, 0)), mode="edge")
                for item, more in zip(items, wide, strict=True)
            ]
            lengths = torch.tensor([len(item) - self._spare for item in items])
            return {"frames": torch.from_numpy(np.stack(padded)), "length": lengths}
        ends = np.array([len(item) for item in items])
        mask = np.arange(ends.max()) < ends[:, None]
        samples = np.zeros(mask.shape, dtype=np.float32)
        samples[mask] = np.concatenate(items)
        return {"samples": torch.from_numpy(samples), "mask": torch.from_numpy(mask)}

    @cached_property
    def _made(self) -> Any:
        return made_extractor(self.extractor)

    @cached_property
    def _spare(self) -> int:
        return 0 if self.bands is None else spare_frames(self._made)

    @cached_property
    def _least(self) -> int:
        return least_samples(self.config)


def preparation_of(
    model: str, config: dict[str, Any], *, seconds: float, mask: float, shift: float
) -> PretrainedAudioPreparation:
    """As the model's files say."""
    fields = extractor_fields(model, config)
    return PretrainedAudioPreparation(
        rate=fields["sampling_rate"], seconds=seconds, mask=mask, shift=shift, config=config, extractor=fields
    )
