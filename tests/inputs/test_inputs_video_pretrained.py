"""Pretrained models of videos: each family says what it says when it is called by hand, processor and all."""

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("transformers", reason="the extra `pretrained` is not installed")

from tests.inputs.pretrained_models import VIDEO, save_video_model

from motet.core.errors import SpecError
from motet.inputs import Video
from motet.inputs.pretrained import FAMILIES, Pretrained, PretrainedEncoder
from motet.inputs.pretrained.encoder import Tune
from motet.inputs.video.pretrained import PretrainedVideoPreparation

DRAWN = np.random.default_rng(0)
CLIPS = [DRAWN.integers(0, 256, size, dtype=np.uint8) for size in ((4, 50, 70, 3), (9, 36, 40, 1), (3, 64, 33, 3))]
TUNES = get_args(Tune)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any, Any]]:
    """For each family the folder of a model, the model, and how it frames a picture."""
    found = {}
    for family in VIDEO:
        folder = tmp_path_factory.mktemp(family)
        model, processor = save_video_model(family, folder)
        found[family] = (folder, model, processor)
    return found


def prepared(folder: Path, *, frames: Any = "auto", **fields: Any) -> tuple[Video, Any, PretrainedEncoder]:
    spec = Video(encoder=Pretrained(model=str(folder), **fields), frames=frames, crop=0.0, dropout=0.0)
    preparation = spec.fit(CLIPS)
    assert isinstance(preparation, PretrainedVideoPreparation)
    encoder = spec.build(preparation)
    assert isinstance(encoder, PretrainedEncoder)
    spec.start(encoder)
    return spec, preparation, encoder


def by_hand(family: str, model: Any, processor: Any, clip: np.ndarray) -> Tensor:
    """Of 9 frames the middles of four equal parts are 1, 3, 5 and 7; the third of three is repeated."""
    chosen = {4: [0, 1, 2, 3], 9: [1, 3, 5, 7], 3: [0, 1, 2, 2]}[len(clip)]
    colour = np.repeat(clip, 3, axis=3) if clip.shape[3] == 1 else clip
    pixels = torch.from_numpy(np.asarray(processor(list(colour[chosen]), return_tensors="np")["pixel_values"]))
    with torch.no_grad():
        if family == "vjepa2":
            return model(pixel_values_videos=pixels, skip_predictor=True).last_hidden_state[0]  # type: ignore[no-any-return]
        return model(pixel_values=pixels).last_hidden_state[0]  # type: ignore[no-any-return]


def test_every_family_of_videos_is_tried() -> None:
    assert FAMILIES["video"].keys() == VIDEO.keys()


@pytest.mark.parametrize("tune", TUNES)
@pytest.mark.parametrize("family", VIDEO)
def test_states_are_those_of_the_model_called_by_hand(family: str, tune: str, models: Any) -> None:
    folder, model, processor = models[family]
    _, preparation, encoder = prepared(folder, tune=tune)
    tokens = encoder(preparation.batch([preparation.read(clip) for clip in CLIPS]))
    assert tokens.values.shape == (3, 8, 16)
    for row, clip in enumerate(CLIPS):
        expected = by_hand(family, model, processor, clip)
        torch.testing.assert_close(tokens.values[row], expected, rtol=1e-5, atol=3e-6)


@pytest.mark.parametrize("family", VIDEO)
def test_a_step_moves_what_is_tuned_and_nothing_that_is_frozen(family: str, models: Any) -> None:
    for tune in TUNES:
        _, preparation, encoder = prepared(models[family][0], tune=tune)
        before = {name: value.clone() for name, value in encoder.backbone.state_dict().items()}
        head = torch.nn.Linear(encoder.output_width, 1)
        learned = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
        optimizer = torch.optim.SGD([*learned, *head.parameters()], lr=0.1)
        encoder.train()
        encoder.at(0.0)
        batch = preparation.batch([preparation.read(clip) for clip in CLIPS])
        torch.autograd.backward(head(encoder(batch).values).square().mean())
        optimizer.step()
        moved = [name for name, value in encoder.backbone.state_dict().items() if not torch.equal(value, before[name])]
        assert bool(moved) == (tune != "frozen"), tune
        assert all("lora_" in name for name in moved) == (tune in ("frozen", "lora")), (tune, moved)


def test_of_v_jepa_the_encoder_alone_is_kept(models: Any) -> None:
    _, _, encoder = prepared(models["vjepa2"][0], tune="full")
    assert not [name for name, _ in encoder.named_parameters() if "predictor" in name]
    assert len(encoder.backbone.layers()) == 2


@pytest.mark.parametrize("family", VIDEO)
def test_a_bundle_restores_preparation_and_encoder(family: str, models: Any) -> None:
    spec, preparation, encoder = prepared(models[family][0], output="mean")
    resolved = spec.resolved(preparation).portable()
    assert "auto" not in resolved.model_dump(exclude={"drop"}).values()
    again = Video.model_validate_json(resolved.model_dump_json())
    restored = again.restore(json.loads(preparation.model_dump_json()))
    assert restored == preparation
    other = again.build(restored)
    other.load_state_dict(encoder.state_dict())
    batch = restored.batch([restored.read(CLIPS[0])])
    assert torch.equal(other(batch).values, encoder(batch).values)


@pytest.mark.parametrize("family", VIDEO)
def test_another_number_of_frames_may_be_asked_for(family: str, models: Any) -> None:
    _, preparation, encoder = prepared(models[family][0], frames=2)
    assert encoder(preparation.batch([preparation.read(CLIPS[1])])).values.shape == (1, 4, 16)
    with pytest.raises(SpecError, match="reads 2 at a time, so a multiple of that is expected, found 3"):
        prepared(models[family][0], frames=3)


def test_a_view_is_the_same_for_all_frames(models: Any) -> None:
    spec = Video(encoder=Pretrained(model=str(models["videomae"][0])), crop=0.3, flip=True)
    preparation = spec.fit(CLIPS)
    assert preparation.varies
    still = np.repeat(preparation.read(CLIPS[0])[:1], 4, axis=0)
    seen = preparation.augment(still, np.random.default_rng(3))
    assert not np.array_equal(seen, still)
    assert all(np.array_equal(frame, seen[0]) for frame in seen)


def test_a_model_without_a_processor_frames_as_its_authors_do(models: Any, tmp_path: Path) -> None:
    for family, shorter in (("videomae", 32), ("vjepa2", 36)):
        folder = tmp_path / family
        folder.mkdir()
        for name in ("config.json", "model.safetensors"):
            (folder / name).write_bytes((models[family][0] / name).read_bytes())
        _, preparation, _ = prepared(folder)
        assert preparation.processor["size"] == {"shortest_edge": shorter}
        assert preparation.size == (32, 32)
