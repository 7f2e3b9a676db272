"""Videos: which frames, one view for all of them, what encoders make of time, and a table whose clips sound."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import motet
from motet.core.errors import CellError
from motet.core.seed import generator
from motet.data import read_table
from motet.inputs import ImageEncoder, SpaceTimeEncoder, Video, VideoEncoder
from motet.inputs.video.spacetime import SpaceTimeBlock, SpaceTimeConv
from motet.run.frozen import _why_not
from motet.spec.choose import choose

DRAWN = np.random.default_rng(0)
CLIP = DRAWN.integers(0, 256, size=(12, 8, 6, 3), dtype=np.uint8)


def test_everything_auto_comes_from_the_clips() -> None:
    long = np.zeros((30, 224, 112, 1), dtype=np.uint8)
    preparation = Video().fit([long, long, CLIP])
    assert (preparation.frames, preparation.size, preparation.channels) == (8, (112, 56), 3)
    preparation = Video().fit([long[:3], long[:2]])
    assert (preparation.frames, preparation.channels) == (3, 1)


def test_frames_are_of_the_middles_of_equal_parts() -> None:
    preparation = Video(frames=4).fit([CLIP])
    assert np.array_equal(preparation.read(CLIP), CLIP[[1, 4, 7, 10]])
    assert np.array_equal(preparation.read(CLIP[:3]), CLIP[:3])
    grey = Video(frames=4, channels=1, size=(4, 3)).fit([CLIP]).read(CLIP)
    assert grey.shape == (4, 4, 3, 1)


def test_pixels_are_normalised_and_short_clips_are_padded() -> None:
    preparation = Video(frames=4).fit([CLIP[:4], CLIP[4:6]])
    values = preparation.batch([preparation.read(CLIP[:4]), preparation.read(CLIP[4:6])])
    pixels, there = values["pixels"], values["there"]
    assert there.tolist() == [[True] * 4, [True, True, False, False]]
    assert not pixels[1, 2:].any()
    torch.testing.assert_close(pixels[there].mean(dim=(0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(pixels[there].std(dim=(0, 2, 3), correction=0), torch.ones(3))
    channel = CLIP[:6, ..., 1].astype(np.float64)
    expected = (float(CLIP[5, 3, 2, 1]) - channel.mean()) / channel.std()
    assert float(pixels[1, 1, 1, 3, 2]) == pytest.approx(expected, abs=1e-5)


def test_a_view_is_the_same_for_all_frames() -> None:
    preparation = Video(crop=0.3, flip=True).fit([CLIP])
    still = np.repeat(CLIP[:1], 5, axis=0)
    views = [preparation.augment(still, generator(draw)) for draw in range(40)]
    assert all(np.array_equal(frame, view[0]) for view in views for frame in view)
    assert len({view.tobytes() for view in views}) > 10


@pytest.mark.parametrize(("crop", "flip"), [(0.0, False), (0.1, False), (0.0, True), (0.1, True)])
def test_what_makes_clips_vary_is_named(crop: float, flip: bool) -> None:
    spec = Video(crop=crop, flip=flip)
    preparation = spec.fit([CLIP])
    assert preparation.varies == bool(preparation.variations) == (crop > 0 or flip)
    still = spec.model_copy(update=dict(preparation.variations)).fit([CLIP])
    assert not still.varies
    if crop and flip:
        why = _why_not("clip", spec, preparation)
        assert "s vary in training (crop, flip), so" in why
        assert why.endswith("; `crop: 0, flip: false` would let what it says be kept")


def by_hand(conv: SpaceTimeConv, x: Tensor) -> Tensor:
    """`[K, I, H, W]` -> `[K, O, H, W]`, one sum after the other."""

    def standard(filters: Tensor) -> Tensor:
        flat = filters.flatten(1)
        centred = flat - flat.mean(dim=1, keepdim=True)
        deviation = (centred.square().mean(dim=1, keepdim=True) + 1e-6).sqrt()
        return (centred / deviation / flat.shape[1] ** 0.5).view_as(filters)

    space, time = standard(conv.space.weight), standard(conv.time.weight)
    frames, (height, width) = x.shape[0], x.shape[2:]
    padded = F.pad(x, [1, 1, 1, 1])
    mapped = torch.zeros(frames, len(space), height, width, dtype=x.dtype)
    for k, m, row, column in itertools.product(range(frames), range(len(space)), range(height), range(width)):
        mapped[k, m, row, column] = (space[m] * padded[k, :, row : row + 3, column : column + 3]).sum()
    groups = mapped.view(frames, conv.norm.num_groups, -1)
    normed = (groups - groups.mean(dim=2, keepdim=True)) / (groups.var(dim=2, correction=0, keepdim=True) + 1e-5).sqrt()
    inner = F.relu(normed.view_as(mapped))
    output = torch.zeros(frames, len(time), height, width, dtype=x.dtype)
    for k, o, step in itertools.product(range(frames), range(len(time)), range(3)):
        if 0 <= k + step - 1 < frames:
            output[k, o] += (time[o, :, step, 0, None, None] * inner[k + step - 1]).sum(dim=0)
    return output


def test_a_convolution_over_space_and_time_by_hand() -> None:
    torch.manual_seed(0)
    conv = SpaceTimeConv(2, 5).double()
    x = torch.randn(1, 4, 2, 3, 4, dtype=torch.float64)
    found = conv(x, torch.ones(1, 4, dtype=torch.bool))
    torch.testing.assert_close(found[0], by_hand(conv, x[0]), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 8), (16, 32), (64, 64), (1, 4)])
def test_it_has_the_weights_of_a_convolution_over_both(inputs: int, outputs: int) -> None:
    conv = SpaceTimeConv(inputs, outputs)
    weights = conv.space.weight.numel() + conv.time.weight.numel()
    full = 27 * inputs * outputs
    assert full - (9 * inputs + 3 * outputs) < weights <= full


def test_frames_that_are_not_there_are_as_if_the_clip_ended() -> None:
    torch.manual_seed(0)
    block = SpaceTimeBlock(3, 4, stride=(2, 2)).double()
    x = torch.randn(1, 5, 3, 6, 6, dtype=torch.float64)
    short = block(x[:, :3], torch.ones(1, 3, dtype=torch.bool))
    long = block(x, torch.tensor([[True, True, True, False, False]]))
    torch.testing.assert_close(long[:, :3], short, rtol=0, atol=1e-12)
    assert not torch.allclose(block(x, torch.ones(1, 5, dtype=torch.bool))[:, 2], short[:, 2])


def encoders() -> list[VideoEncoder | SpaceTimeEncoder]:
    torch.manual_seed(0)
    small = {"size": (8, 6), "channels": 3, "first": 4, "width": 8, "dropout": 0.0}
    made = [VideoEncoder(**small, num_frames=5, layers=1, heads=2), SpaceTimeEncoder(**small)]  # type: ignore[arg-type]
    return [encoder.double() for encoder in made]


@pytest.mark.parametrize("encoder", encoders(), ids=["cnn2d", "cnn3d"])
def test_the_order_of_frames_tells(encoder: VideoEncoder | SpaceTimeEncoder) -> None:
    """A bag of frames would give the same tokens in another order."""
    pixels, there = torch.randn(1, 5, 3, 8, 6, dtype=torch.float64), torch.ones(1, 5, dtype=torch.bool)
    forth = encoder({"pixels": pixels, "there": there}).values
    back = encoder({"pixels": pixels.flip(1), "there": there}).values
    assert (forth.mean(dim=1) - back.mean(dim=1)).abs().max() > 1e-3


@pytest.mark.parametrize("encoder", encoders(), ids=["cnn2d", "cnn3d"])
def test_what_stands_behind_a_clip_changes_nothing(encoder: VideoEncoder | SpaceTimeEncoder) -> None:
    pixels, there = torch.randn(2, 5, 3, 8, 6, dtype=torch.float64), torch.ones(2, 5, dtype=torch.bool)
    there[1, 2:] = False
    clean = encoder({"pixels": pixels, "there": there})
    pixels[1, 2:] = float("nan")
    poisoned = encoder({"pixels": pixels, "there": there})
    assert torch.equal(clean.values, poisoned.values)
    assert not clean.values[1, 2:].any()
    assert clean.mask.equal(there)


def test_before_the_transformer_a_frame_is_the_mean_of_the_cells_of_its_map() -> None:
    encoder = encoders()[0]
    assert isinstance(encoder, VideoEncoder)
    pixels, there = torch.randn(1, 5, 3, 8, 6, dtype=torch.float64), torch.ones(1, 5, dtype=torch.bool)
    frame = encoder.frames.encoder
    assert isinstance(frame, ImageEncoder)
    seen = torch.stack([frame({"pixels": pixels[:, k]}).values[0].mean(dim=0) for k in range(5)])[None]
    torch.testing.assert_close(
        encoder({"pixels": pixels, "there": there}).values, encoder.time(seen, there), rtol=0, atol=1e-10
    )


def test_bad_cells_are_refused() -> None:
    preparation = Video(frames=2).fit([CLIP])
    for cell in (CLIP[0], b"no video", (b"no picture",)):
        with pytest.raises(CellError):
            preparation.read(cell)


def test_heads_have_to_divide_the_width() -> None:
    with pytest.raises(ValueError, match="4 heads of cnn2d must divide the width 6"):
        Video(width=6)


def film(path: Path, *, brighter: bool, high: bool) -> None:
    """Four frames that become brighter or darker, with a tone that is high or low."""
    import av

    with av.open(str(path), "w") as file:
        stream, track = file.add_stream("ffv1", rate=8), file.add_stream("pcm_s16le", rate=8000, layout="mono")
        (stream.height, stream.width), stream.pix_fmt = (8, 8), "gray"
        for place in range(4):
            shade = np.full((8, 8), 200 - 50 * place if not brighter else 50 + 50 * place, dtype=np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(shade, format="gray")))
        file.mux(stream.encode())
        wave = np.sin(np.arange(4000) * (0.9 if high else 0.2)).astype(np.float32) / 2
        block = av.AudioFrame.from_ndarray(wave[None], format="flt", layout="mono")
        block.sample_rate, block.pts = 8000, 0
        file.mux([*track.encode(block), *track.encode()])


def test_init_takes_a_video_for_one_though_it_sounds(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="the extra `media` is not installed")
    film(tmp_path / "a.mkv", brighter=True, high=True)
    data = (tmp_path / "a.mkv").read_bytes()
    rows = [{"held": data, "named": f"{number}.mp4", "good": number % 2} for number in range(20)]
    kinds = {choice.column: choice.kind for choice in choose(read_table(rows), tasks=["good"]).inputs}
    assert kinds == {"held": "video", "named": "video"}


def test_a_table_of_clips_that_sound(tmp_path: Path) -> None:
    """Trained, saved, read again; sight and sound of one file; an absent clip is answered too."""
    pytest.importorskip("av", reason="the extra `media` is not installed")
    rows = []
    for number in range(24):
        brighter, high = number % 2 == 0, number // 2 % 2 == 0
        film(tmp_path / f"{number}.mkv", brighter=brighter, high=high)
        rows.append({"clip": f"{number}.mkv", "rises": int(brighter), "high": int(high)})
    (tmp_path / "table.jsonl").write_text("\n".join(map(json.dumps, rows)))
    experiment = {
        "data": {"train": str(tmp_path / "table.jsonl"), "valid": 0.25, "test": 0.25},
        "inputs": {
            "clip": {"kind": "video", "first": 4, "width": 8, "crop": 0.0, "encoder": "cnn3d"},
            "sound": {"kind": "audio", "column": "clip", "channels": 8, "width": 8},
        },
        "tasks": {"rises": "binary", "high": "binary"},
        "training": {"epochs": 2, "batch_size": 8, "workers": 0},
    }
    run = motet.fit(experiment, out=tmp_path / "run")
    asked = [{"clip": name} for name in (str(tmp_path / "0.mkv"), None, str(tmp_path / "1.mkv"))]
    found, again = (one.predict(asked, root=tmp_path) for one in (run.model, motet.load(tmp_path / "run")))
    assert found == again
    assert len({row["rises__probability"] for row in found}) == 3
