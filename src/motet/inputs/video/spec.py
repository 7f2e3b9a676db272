"""What the user writes of a video, how it is fitted, and which encoder reads it."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from motet import media
from motet.core.component import ComponentSpec, shorthand
from motet.inputs.base import Preparation, readable, spread
from motet.inputs.pretrained import MayBePretrained, Pretrained, PretrainedEncoder
from motet.inputs.video.encoder import VideoEncoder
from motet.inputs.video.preparation import VideoPreparation
from motet.inputs.video.pretrained import PretrainedVideoPreparation, fit_pretrained
from motet.inputs.video.spacetime import SpaceTimeEncoder

WIDTH = 128
"""Of the tokens of encoders that are trained from scratch."""
FRAMES = 8  # of an "auto" number
MOST_FRAMES = 256
LARGEST_SIDE = 112  # of an "auto" size
SIZES_SAMPLED = 256
CLIPS_SAMPLED = 64


class FrameLayers(ComponentSpec):
    """A small residual CNN on each frame, then a transformer over time."""

    kind: Literal["cnn2d"] = "cnn2d"
    paper: ClassVar[str] = "Neimark et al., Video Transformer Network, ICCV Workshops 2021"
    layers: int = Field(default=2, ge=1, description="Blocks of the transformer over time.")
    heads: int = Field(default=4, ge=1, description="Heads of its attention; they divide the width.")


class SpaceTimeLayers(ComponentSpec):
    """Residual convolutions over space and time, each factorised into one of either."""

    kind: Literal["cnn3d"] = "cnn3d"
    paper: ClassVar[str] = "Tran et al., A Closer Look at Spatiotemporal Convolutions, CVPR 2018"


AnyVideoEncoder = Annotated[
    Annotated[FrameLayers | SpaceTimeLayers | Pretrained, Field(discriminator="kind")], BeforeValidator(shorthand)
]


class Video(MayBePretrained):
    """A video, or pictures in order: frames evenly spread in time, and a CNN over them or a pretrained model.

    A pretrained model's processor says the size and the channels; `size`, `channels` and `first` are of the others.
    """

    kind: Literal["video"] = "video"
    paper: ClassVar[str] = "Wang et al., Temporal Segment Networks, ECCV 2016"
    media: ClassVar[bool] = True
    shown_as = "picture"
    separator: str = Field(
        default="|", min_length=1, description="What stands between the paths where a cell names pictures in order."
    )
    frames: Annotated[int, Field(ge=1, le=MOST_FRAMES)] | Literal["auto"] = Field(
        default="auto",
        description="Frames taken of a clip, from the middles of equal parts of its time; 8, fewer where no clip has "
        "as many, or as many as a pretrained model reads, if 'auto'.",
    )
    rate: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="At most so many frames are taken of a second of a video file."
    )
    size: tuple[PositiveInt, PositiveInt] | Literal["auto"] = Field(
        default="auto",
        description="Height and width every frame is resized to; the clips' median, at most 112, if 'auto'.",
    )
    channels: Literal[1, 3, "auto"] = Field(
        default="auto", description="1 grey, 3 colour; colour if any clip has it, if 'auto'."
    )
    crop: float = Field(
        default=0.1, ge=0, lt=1, description="Random shift in training, of all frames alike, at most this fraction."
    )
    flip: bool = Field(default=False, description="Mirror whole clips at random in training.")
    encoder: AnyVideoEncoder = Field(
        default=FrameLayers(), description="cnn2d, cnn3d or pretrained, by its name or with its fields."
    )
    first: int = Field(
        default=16, ge=4, description="Channels of the first stage; they double with each halving up to `width`."
    )
    width: PositiveInt | Literal["auto"] = Field(
        default="auto",
        description="Width of the tokens, and of a CNN the most channels of a stage; auto: 128, or that of a "
        "pretrained model.",
    )
    dropout: float = Field(
        default=0.1, ge=0, lt=1, description="Dropout before the projection and in the transformer over time."
    )

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        width = WIDTH if self.width == "auto" else self.width
        if isinstance(self.encoder, FrameLayers) and width % self.encoder.heads:
            raise ValueError(f"the {self.encoder.heads} heads of cnn2d must divide the width {width}")
        return self

    def fit(self, cells: Iterable[object]) -> VideoPreparation:
        """Frames, size and channels from up to 256 clips, mean and deviation from up to 64, evenly spread.

        >>> Video().fit([np.zeros((5, 20, 30, 1), dtype=np.uint8)]).frames
        5
        """
        given = list(cells)
        if self.pretrained is not None:
            return fit_pretrained(
                self.pretrained, given, frames=self.frames, rate=self.rate, crop=self.crop, flip=self.flip
            )
        shapes = np.array(readable(spread(given, SIZES_SAMPLED), media.video_size))
        channels: Literal[1, 3] = (3 if shapes[:, 3].max() > 1 else 1) if self.channels == "auto" else self.channels
        unscaled = VideoPreparation(
            frames=min(FRAMES, int(shapes[:, 0].max())) if self.frames == "auto" else self.frames,
            rate=self.rate,
            size=capped(np.median(shapes[:, 1:3], axis=0)) if self.size == "auto" else self.size,
            channels=channels,
            mean=(),
            deviation=(),
            crop=self.crop,
            flip=self.flip,
        )
        return _scaled(unscaled, given)

    def restore(self, state: dict[str, Any]) -> VideoPreparation:
        """The preparation a bundle holds."""
        kind = VideoPreparation if self.pretrained is None else PretrainedVideoPreparation
        return kind.model_validate(state)

    def resolved(self, preparation: Preparation) -> Self:
        """With the frames, size and channels that were fitted."""
        assert isinstance(preparation, VideoPreparation)
        own = preparation.width if isinstance(preparation, PretrainedVideoPreparation) else WIDTH
        found = {name: getattr(preparation, name) for name in ("frames", "size", "channels")}
        return self.model_copy(update=found | {"width": own if self.width == "auto" else self.width})

    def build(self, preparation: Preparation) -> VideoEncoder | SpaceTimeEncoder | PretrainedEncoder:
        """A fresh encoder for clips prepared so."""
        assert isinstance(preparation, VideoPreparation)
        if isinstance(self.encoder, Pretrained):
            assert isinstance(preparation, PretrainedVideoPreparation)
            own = None if self.width == "auto" else self.width
            return self.encoder.build(preparation.config, "video", width=own, dropout=self.dropout)
        width = WIDTH if self.width == "auto" else self.width
        size, channels = preparation.size, preparation.channels
        if isinstance(self.encoder, SpaceTimeLayers):
            return SpaceTimeEncoder(size=size, channels=channels, first=self.first, width=width, dropout=self.dropout)
        return VideoEncoder(
            size=size,
            channels=channels,
            first=self.first,
            width=width,
            num_frames=preparation.frames,
            layers=self.encoder.layers,
            heads=self.encoder.heads,
            dropout=self.dropout,
        )


def _scaled(unscaled: VideoPreparation, cells: Sequence[object]) -> VideoPreparation:
    """With the mean and the deviation of each channel."""
    clips = readable(spread(cells, CLIPS_SAMPLED), unscaled.read)
    pixels = np.concatenate(clips).reshape(-1, unscaled.channels).astype(np.float64)
    deviation = np.maximum(pixels.std(axis=0), 1.0)
    return unscaled.model_copy(
        update={"mean": tuple(pixels.mean(axis=0).tolist()), "deviation": tuple(deviation.tolist())}
    )


def capped(size: np.ndarray) -> tuple[int, int]:
    """Height and width, shrunk together until the longer side is at most 112.

    >>> capped(np.array([448, 224]))
    (112, 56)
    """
    height, width = np.maximum(1, np.rint(size * min(1, LARGEST_SIDE / size.max()))).astype(int).tolist()
    return height, width
