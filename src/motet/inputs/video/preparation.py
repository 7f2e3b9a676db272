"""Clips of one size: frames evenly spread in time, resized, and in training another view of the whole clip.

Shapes: n clips, K frames of one at most, H, W, C of a frame.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from motet import media
from motet.inputs.bag import THERE
from motet.inputs.base import Preparation, noisy
from motet.inputs.image.preparation import resized


class VideoPreparation(Preparation):
    """How many frames a clip has at most, their size and channels, and how pixels are normalised."""

    frames: int
    rate: float | None
    size: tuple[int, int]
    channels: Literal[1, 3]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    crop: float
    flip: bool

    @property
    def varies(self) -> bool:
        """Whether clips are seen in other views in training."""
        return self.framing.varies

    @property
    def variations(self) -> Mapping[str, object]:
        """Those that are not as they would be without."""
        still = {"crop": 0, "flip": False}
        return {name: value for name, value in still.items() if getattr(self, name) != value}

    @property
    def framing(self) -> media.Framing:
        """How clips are shifted and mirrored in training."""
        return media.Framing(size=self.size, crop=self.crop, flip=self.flip)

    def read(self, cell: object) -> UInt8[np.ndarray, "T H W C"]:
        """Decode at most `frames`, from the middles of equal parts of time; resize, the aspect ratio is not kept."""
        frames = media.frames_of(cell, num_frames=self.frames, rate=self.rate)
        return np.stack([resized(frame, size=self.size, channels=self.channels) for frame in frames])

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Another view (see `media.Framing`), the same of every frame."""
        view = self.framing.draw(generator)
        return np.stack([view.of(frame) for frame in item])

    def distorted(
        self, item: np.ndarray, level: float, generator: np.random.Generator, *, other: np.ndarray
    ) -> np.ndarray:
        """Each pixel plus normal noise of `level` times the deviation of its channel."""
        return noisy(item, level * np.array(self.deviation), generator)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"pixels": [n, K, C, H, W], "there": [n, K]}`, each channel with mean 0 and deviation 1 over the training
        clips, zeros behind the end of a clip; K is `frames` in every batch.
        """
        there = torch.arange(self.frames) < torch.tensor([len(item) for item in items])[:, None]
        pixels = torch.zeros(*there.shape, self.channels, *self.size)
        pixels[there] = self.normalised(np.concatenate(items))
        return {"pixels": pixels, THERE: there}

    def normalised(self, frames: UInt8[np.ndarray, "T H W C"]) -> Tensor:
        """`[T, C, H, W]`, less the mean, through the deviation."""
        pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).to(torch.float32)
        mean, deviation = (torch.tensor(values).view(-1, 1, 1) for values in (self.mean, self.deviation))
        return pixels.sub_(mean).div_(deviation)
