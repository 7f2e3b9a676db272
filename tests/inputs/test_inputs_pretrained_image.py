"""Pretrained models of pictures: every family says what it says when it is called by hand, processor and all."""

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("transformers", reason="the extra `pretrained` is not installed")

from tests.inputs.pretrained_models import IMAGE, save_image_model

from motet.core.errors import SpecError
from motet.inputs import Image
from motet.inputs.image.pretrained import PretrainedImagePreparation
from motet.inputs.pretrained import FAMILIES, Pretrained, PretrainedEncoder
from motet.inputs.pretrained.encoder import Tune

DRAWN = np.random.default_rng(0)
PICTURES = [DRAWN.integers(0, 256, size, dtype=np.uint8) for size in ((50, 70, 3), (36, 40), (64, 33, 3))]

TUNES = get_args(Tune)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any, Any]]:
    """For each family the folder of a model, the model, and its processor."""
    place = tmp_path_factory.mktemp("models")
    return {family: (place / family, *save_image_model(family, place / family)) for family in IMAGE}


def prepared(folder: Path, **fields: Any) -> tuple[Image, PretrainedImagePreparation, PretrainedEncoder]:
    spec = Image(encoder=Pretrained(model=str(folder), **fields), crop=0.0)
    preparation = spec.fit(PICTURES)
    assert isinstance(preparation, PretrainedImagePreparation)
    encoder = spec.build(preparation)
    assert isinstance(encoder, PretrainedEncoder)
    spec.start(encoder)
    return spec, preparation, encoder


def by_hand(model: Any, processor: Any, picture: np.ndarray) -> Tensor:
    colour = picture if picture.ndim == 3 else np.stack([picture] * 3, axis=-1)
    pixels = torch.from_numpy(processor(colour, return_tensors="np")["pixel_values"])
    with torch.no_grad():
        states: Tensor = getattr(model, "vision_model", model)(pixel_values=pixels).last_hidden_state[0]
    return states if states.dim() == 2 else states.flatten(1).T


def test_every_family_of_pictures_is_tried() -> None:
    assert {family for family in FAMILIES["image"] if not family.endswith("_vision_model")} == IMAGE.keys()


@pytest.mark.parametrize("tune", TUNES)
@pytest.mark.parametrize("family", IMAGE)
def test_states_are_those_of_the_model_called_by_hand(
    family: str, tune: str, folders: dict[str, tuple[Path, Any, Any]]
) -> None:
    folder, model, processor = folders[family]
    _, preparation, encoder = prepared(folder, tune=tune)
    tokens = encoder(preparation.batch([preparation.read(picture) for picture in PICTURES]))
    assert tokens.values.shape[2] == encoder.output_width
    for row, picture in enumerate(PICTURES):
        expected = by_hand(model, processor, picture)
        torch.testing.assert_close(tokens.values[row], expected, rtol=1e-5, atol=3e-6)  # pixels are scaled in one step


@pytest.mark.parametrize("family", IMAGE)
def test_a_step_moves_what_is_tuned_and_nothing_that_is_frozen(
    family: str, folders: dict[str, tuple[Path, Any, Any]]
) -> None:
    for tune in TUNES:
        _, preparation, encoder = prepared(folders[family][0], tune=tune)
        before = {name: value.clone() for name, value in encoder.backbone.state_dict().items()}
        head = torch.nn.Linear(encoder.output_width, 1)
        learned = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
        optimizer = torch.optim.SGD([*learned, *head.parameters()], lr=0.1)
        encoder.train()
        encoder.at(0.0)
        batch = preparation.batch([preparation.read(picture) for picture in PICTURES])
        torch.autograd.backward(head(encoder(batch).values).square().mean())
        optimizer.step()
        moved = [name for name, value in encoder.backbone.state_dict().items() if not torch.equal(value, before[name])]
        assert bool(moved) == (tune != "frozen"), tune
        assert all("lora_" in name for name in moved) == (tune in ("frozen", "lora")), (tune, moved)
        assert not [name for name in moved if "running_" in name or "num_batches" in name]


def test_a_bundle_restores_preparation_and_encoder(folders: dict[str, tuple[Path, Any, Any]]) -> None:
    spec, preparation, encoder = prepared(folders["clip"][0])
    resolved = spec.resolved(preparation).portable()
    again = Image.model_validate_json(resolved.model_dump_json())
    restored = again.restore(json.loads(preparation.model_dump_json()))
    assert restored == preparation
    other = again.build(restored)
    other.load_state_dict(encoder.state_dict())
    batch = preparation.batch([preparation.read(PICTURES[0])])
    assert torch.equal(other(batch).values, encoder(batch).values)


def test_several_pictures_are_one_bag(folders: dict[str, tuple[Path, Any, Any]]) -> None:
    spec = Image(encoder=Pretrained(model=str(folders["vit"][0]), output="pooler"), crop=0.0)
    preparation = spec.fit([(PICTURES[0], PICTURES[1]), (PICTURES[2],)])
    encoder = spec.build(preparation)
    spec.start(encoder)
    tokens = encoder(
        preparation.batch([preparation.read(cell) for cell in ((PICTURES[0], PICTURES[1]), (PICTURES[2],))])
    )
    assert tokens.mask.tolist() == [[True, True], [True, False]]
    assert spec.restore(json.loads(preparation.model_dump_json())) == preparation


def test_a_processor_that_is_not_known_is_refused(folders: dict[str, tuple[Path, Any, Any]], tmp_path: Path) -> None:
    for file in folders["vit"][0].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": "os.System"}), "utf-8")
    with pytest.raises(SpecError, match=r"names 'os.System'; expected an image processor of ViT"):
        prepared(tmp_path)
