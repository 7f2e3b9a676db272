"""Pretrained models of sounds: every family says what it says when it is called by hand, extractor and all."""

import json
import warnings
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("transformers", reason="the extra `pretrained` is not installed")

from tests.inputs.pretrained_models import AUDIO, save_audio_model, save_image_model

import motet
from motet import media
from motet.core.errors import CellError, SpecError
from motet.core.seed import generator
from motet.inputs import Audio
from motet.inputs.audio.pretrained import PretrainedAudioPreparation
from motet.inputs.pretrained import FAMILIES, Backbone, Pretrained, PretrainedEncoder, built, config_of, family_of
from motet.inputs.pretrained.encoder import Tune
from motet.training.progress import Quiet

DRAWN = np.random.default_rng(0)
SOUNDS = [(DRAWN.normal(scale=0.1, size=size).astype(np.float32), 8000) for size in (2400, 1111, 700)]
TUNES = get_args(Tune)
Folders = dict[str, tuple[Path, Any, Any]]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """For each family the folder of a model, the model, and its extractor."""
    place = tmp_path_factory.mktemp("models")
    return {family: (place / family, *save_audio_model(family, place / family)) for family in AUDIO}


def prepared(folder: Path, **fields: Any) -> tuple[Audio, PretrainedAudioPreparation, PretrainedEncoder]:
    spec = Audio(encoder=Pretrained(model=str(folder), **fields), seconds=0.5, dropout=0.0)
    preparation = spec.fit(SOUNDS)
    assert isinstance(preparation, PretrainedAudioPreparation)
    encoder = spec.build(preparation)
    assert isinstance(encoder, PretrainedEncoder)
    spec.start(encoder)
    return spec, preparation, encoder


def read(preparation: PretrainedAudioPreparation, sounds: Any = SOUNDS) -> dict[str, Tensor]:
    return preparation.batch([preparation.read(sound) for sound in sounds])


def by_hand(family: str, model: Any, extractor: Any, sound: tuple[np.ndarray, int]) -> Tensor:
    """The states of the sound alone, those of silence behind it left out by counting."""
    rate = extractor.sampling_rate
    samples = media.resample(*sound, rate)
    heard = extractor(samples, sampling_rate=rate, return_tensors="pt")
    with torch.no_grad():
        found = model.encoder(**heard) if family == "whisper" else model(**heard)
    states: Tensor = found.last_hidden_state[0]
    if family == "whisper":
        return states[: -(-len(samples) // 320)]
    if family != "audio-spectrogram-transformer":
        assert len(states) == ((len(samples) - 10) // 5 + 1 - 4) // 4 + 1
        return states
    frames = 1 + (len(samples) - 400) // 160
    bands, places = (32 - 16) // 10 + 1, (48 - 16) // 10 + 1
    kept = [2 + band * places + place for band in range(bands) for place in range(places) if 10 * place < frames]
    return states[[0, 1, *kept]]


def test_every_family_of_sounds_is_tried() -> None:
    assert FAMILIES["audio"].keys() == {family.partition(" ")[0] for family in AUDIO}


@pytest.mark.parametrize("tune", TUNES)
@pytest.mark.parametrize("family", AUDIO)
def test_states_are_those_of_the_model_called_by_hand(family: str, tune: str, folders: Folders) -> None:
    folder, model, extractor = folders[family]
    _, preparation, encoder = prepared(folder, tune=tune)
    tokens = encoder(read(preparation))
    assert tokens.values.shape[2] == encoder.output_width == 16
    for row, sound in enumerate(SOUNDS):
        expected = by_hand(family, model, extractor, sound)
        torch.testing.assert_close(tokens.values[row][tokens.mask[row]], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", AUDIO)
def test_a_step_moves_what_is_tuned_and_nothing_that_is_frozen(family: str, folders: Folders) -> None:
    for tune in TUNES:
        _, preparation, encoder = prepared(folders[family][0], tune=tune)
        before = {name: value.clone() for name, value in encoder.backbone.state_dict().items()}
        head = torch.nn.Linear(encoder.output_width, 1)
        learned = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
        optimizer = torch.optim.SGD([*learned, *head.parameters()], lr=0.1)
        encoder.train()
        encoder.at(0.0)
        tokens = encoder(read(preparation))
        torch.autograd.backward(head(tokens.values[tokens.mask]).square().mean())
        optimizer.step()
        moved = [name for name, value in encoder.backbone.state_dict().items() if not torch.equal(value, before[name])]
        assert bool(moved) == (tune != "frozen"), tune
        assert all("lora_" in name for name in moved) == (tune in ("frozen", "lora")), (tune, moved)
        assert all(value.isfinite().all() for value in encoder.backbone.state_dict().values())
        if tune == "lora":
            assert set(moved) == {name for name in before if "lora_B" in name}, "A moves when B is no longer zero"


@pytest.mark.parametrize("family", AUDIO)
def test_a_row_is_alone_also_where_it_is_tuned(family: str, folders: Folders) -> None:
    _, preparation, encoder = prepared(folders[family][0], tune="full")
    together = encoder(read(preparation))
    for row, sound in enumerate(SOUNDS):
        alone = encoder(read(preparation, [sound]))
        torch.testing.assert_close(
            together.values[row][together.mask[row]], alone.values[0][alone.mask[0]], rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("family", AUDIO)
def test_a_frozen_row_is_the_same_bit_for_bit_in_any_batch(family: str, folders: Folders) -> None:
    _, preparation, encoder = prepared(folders[family][0])
    together = encoder(read(preparation))
    for row, sound in enumerate(SOUNDS):
        kept = encoder.known(read(preparation, [sound]), words=False)
        assert torch.equal(torch.from_numpy(kept), together.values[row][together.mask[row]])


@pytest.mark.parametrize("family", AUDIO)
def test_what_stands_in_padding_changes_nothing(family: str, folders: Folders) -> None:
    _, preparation, encoder = prepared(folders[family][0], tune="full")
    batch = read(preparation)
    if "samples" in batch:
        poisoned = {**batch, "samples": batch["samples"].masked_fill(~batch["mask"], 7.0)}
        clean, other = encoder(batch), encoder(poisoned)
        torch.testing.assert_close(clean.values[clean.mask], other.values[clean.mask], rtol=1e-5, atol=1e-6)
    else:
        assert all(len(item) < 48 + 52 for item in map(preparation.read, SOUNDS)), "silence is not kept"


class Bare(torch.nn.Module):
    """Values and mask of an encoder's tokens."""

    def __init__(self, encoder: PretrainedEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, values: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        tokens = self.encoder(values)
        return tokens.values, tokens.mask


@pytest.mark.parametrize("family", ["wav2vec2", "wavlm", "whisper", "audio-spectrogram-transformer"])
def test_a_batch_with_blanks_can_be_exported(family: str, folders: Folders) -> None:
    """In a graph an absent row is zeros, and True where truth values are."""
    _, preparation, encoder = prepared(folders[family][0])
    batch = read(preparation)
    blank = {name: torch.cat([value, torch.zeros_like(value[:1])]) for name, value in batch.items()}
    if "mask" in blank:
        blank["mask"][-1] = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = torch.export.export(Bare(encoder.eval()), (blank,)).module()
        values, mask = graph(blank)
    eager = encoder(batch)
    assert values.isfinite().all()
    for row in range(len(SOUNDS)):
        torch.testing.assert_close(values[row][mask[row]], eager.values[row][eager.mask[row]], rtol=1e-5, atol=1e-6)


def test_the_waves_of_whisper_stay_as_they_are(folders: Folders) -> None:
    folder, model, _ = folders["whisper"]
    for tune in TUNES:
        _, _, encoder = prepared(folder, tune=tune)
        encoder.at(1.0)
        assert not [name for name, _ in encoder.named_parameters() if "embed_positions" in name]
        waves = encoder.backbone.model.state_dict()["embed_positions.weight"]
        assert torch.equal(waves, model.encoder.embed_positions.weight)


def test_outputs(folders: Folders) -> None:
    folder, model, extractor = folders["audio-spectrogram-transformer"]
    whole = extractor(media.resample(*SOUNDS[1], 16000), sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        pooled = model(**whole).pooler_output
    states = by_hand("audio-spectrogram-transformer", model, extractor, SOUNDS[1])
    mean = states.mean(dim=0)
    for output, expected in (("pooler", pooled[0]), ("mean", mean), ("sentence", mean / mean.norm())):
        _, preparation, encoder = prepared(folder, output=output)
        tokens = encoder(read(preparation))
        torch.testing.assert_close(tokens.values[1], expected[None], rtol=1e-5, atol=1e-6)
    _, preparation, encoder = prepared(folders["hubert"][0], output="pooler")
    with pytest.raises(SpecError, match="pools nothing itself; use mean"):
        encoder(read(preparation))


@pytest.mark.parametrize("family", AUDIO)
def test_very_short_very_long_and_silent_sounds_are_read(family: str, folders: Folders) -> None:
    _, preparation, encoder = prepared(folders[family][0])
    short = np.ones(3, dtype=np.float32)
    sounds = [(short, 8000), (np.zeros(900, dtype=np.float32), 8000), (np.tile(SOUNDS[0][0], 5), 8000)]
    spec = Audio(seconds=1.2, encoder=Pretrained(model=str(folders[family][0])))
    for one in (preparation, spec.fit(SOUNDS)):
        tokens = encoder(one.batch([one.read(sound) for sound in sounds]))
        assert tokens.values.isfinite().all()
        assert tokens.mask.any(dim=1).all()
    if family == "whisper":
        assert tokens.mask.sum(dim=1).tolist() == [1, 6, 50]
    with pytest.raises(CellError):
        preparation.read(b"no sound")


@pytest.mark.parametrize("family", ["wav2vec2", "whisper", "audio-spectrogram-transformer"])
def test_sounds_vary_where_that_is_asked_for(family: str, folders: Folders) -> None:
    encoder = Pretrained(model=str(folders[family][0]))
    plain = Audio(encoder=encoder).fit(SOUNDS)
    assert not plain.varies, "an auto mask leaves what is said of a sound to be kept"
    preparation = Audio(encoder=encoder, mask=0.5, shift=0.3).fit(SOUNDS)
    item = preparation.read(SOUNDS[0])
    assert np.array_equal(item, plain.read(SOUNDS[0]))
    others = [preparation.augment(item, generator(draw)) for draw in range(20)]
    assert not any(np.array_equal(other, item) for other in others[:3])
    lengths = {tuple(value.shape) for other in others for value in preparation.batch([other]).values()}
    assert lengths == {tuple(value.shape) for value in preparation.batch([item]).values()}
    spare = {"whisper": 3, "wav2vec2": 0}.get(family, 1)
    assert all(np.array_equal(other[len(item) - spare :], item[len(item) - spare :]) for other in others)


def test_a_bundle_restores_preparation_and_encoder(folders: Folders) -> None:
    for family in ("wav2vec2", "whisper", "audio-spectrogram-transformer"):
        spec, preparation, encoder = prepared(folders[family][0])
        resolved = spec.resolved(preparation).portable()
        assert "auto" not in resolved.model_dump(exclude={"drop"}).values()
        again = Audio.model_validate_json(resolved.model_dump_json())
        restored = again.restore(json.loads(preparation.model_dump_json()))
        assert restored == preparation
        other = again.build(restored)
        other.load_state_dict(encoder.state_dict())
        assert torch.equal(other(read(preparation)).values, encoder(read(preparation)).values)


def test_without_an_extractor_the_configuration_says_what_is_read(folders: Folders, tmp_path: Path) -> None:
    for family in ("wav2vec2", "whisper", "audio-spectrogram-transformer"):
        folder = tmp_path / family
        folders[family][1].save_pretrained(folder)
        preparation = prepared(folder)[1]
        assert preparation.rate == 16000
        assert preparation.bands == {"wav2vec2": None, "whisper": 16}.get(family, 32)
    nested = {"feature_extractor": {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 4000}}
    (tmp_path / "wav2vec2" / "processor_config.json").write_text(json.dumps(nested), encoding="utf-8")
    assert prepared(tmp_path / "wav2vec2")[1].rate == 4000


@pytest.mark.parametrize(
    ("family", "fields", "problem"),
    [
        ("wav2vec2", {"feature_extractor_type": "os.System"}, "names the extractor 'os.System'; expected Wav2Vec2"),
        ("wav2vec2", {"sampling_rate": 10**9}, "sampling_rate of the extractor is 1000000000; expected int from 1000"),
        ("wav2vec2", {"do_normalize": "yes"}, "do_normalize of the extractor is 'yes'; expected bool"),
        ("whisper", {"feature_size": 80}, "makes 100 frames of 80 bands; the model reads 100 of 16"),
        ("whisper", {"chunk_length": 30}, "makes 3000 frames of 16 bands; the model reads 100"),
        ("whisper", {"hop_length": 0}, "hop_length of the extractor is 0"),
        ("audio-spectrogram-transformer", {"std": float("nan")}, "std of the extractor is nan; expected float"),
        ("audio-spectrogram-transformer", {"max_length": 1024}, "makes 1024 frames of 32 bands; the model reads 48"),
    ],
)
def test_an_extractor_that_does_not_fit_the_model_is_refused(
    family: str, fields: dict[str, Any], problem: str, folders: Folders, tmp_path: Path
) -> None:
    for file in folders[family][0].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | fields), encoding="utf-8")
    with pytest.raises(SpecError, match=problem):
        prepared(tmp_path)


def test_what_can_not_be_used_is_refused(folders: Folders, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}), encoding="utf-8")
    with pytest.raises(SpecError, match="'bert' is a model for text; expected for audio one of audio-spectrogram"):
        prepared(tmp_path)
    config = {**config_of(str(folders["wav2vec2"][0])), "add_adapter": True}
    with pytest.raises(SpecError, match="add_adapter is not supported"):
        Backbone(built(*family_of(config, "audio")), "audio")


ROWS = [
    {"call": (np.sin(np.arange(400 + 30 * row) * (0.05 + 0.2 * (row % 2))).astype(np.float32), 8000), "high": row % 2}
    for row in range(24)
]


def experiment(folder: Path, **fields: Any) -> dict[str, Any]:
    return {
        "data": {"train": ROWS, "valid": 0.2, "test": 0.2},
        "inputs": {"call": {"kind": "audio", "encoder": {"kind": "pretrained", "model": str(folder)}, **fields}},
        "tasks": {"high": "binary"},
        "training": {"epochs": 2, "batch_size": 8},
    }


def test_a_bundle_needs_the_folder_no_more_and_states_that_are_kept_train_the_same(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTET_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "model"
    save_audio_model("wav2vec2", folder)
    run = motet.fit(experiment(folder), out=tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr("motet.run.experiment.with_known_states", lambda prepared, network, progress: prepared)
        motet.fit(experiment(folder), out=tmp_path / "read")
    weights = [(tmp_path / name / "bundle" / "weights.safetensors").read_bytes() for name in ("run", "read")]
    assert weights[0] == weights[1]
    rows: list[dict[str, Any]] = [{"call": ROWS[3]["call"]}, {"call": ROWS[4]["call"]}, {}]
    expected = run.model.predict(rows)
    for file in folder.iterdir():
        file.unlink()
    assert motet.load(tmp_path / "run").predict(rows) == expected


class Told(Quiet):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def say(self, text: str) -> None:
        self.told.append(text)


def test_why_nothing_is_kept_is_said_once(folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTET_CACHE", str(tmp_path / "cache"))
    progress = Told()
    motet.fit(experiment(folders["whisper"][0], mask=0.2, shift=0.1), out=tmp_path / "run", progress=progress)
    said = "\n".join(progress.told)
    why = "call: its sounds vary in training (mask, shift), so the frozen encoder reads them anew in every epoch; "
    assert said.count(why + "`mask: 0, shift: 0` would let what it says be kept") == 1


def test_why_nothing_is_kept_is_said_of_pictures_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTET_CACHE", str(tmp_path / "cache"))
    save_image_model("vit", tmp_path / "vit")
    rows = [{"photo": DRAWN.integers(0, 256, (9, 9, 3), dtype=np.uint8), "high": row % 2} for row in range(24)]
    photo = {"kind": "image", "flip": True, "encoder": {"kind": "pretrained", "model": str(tmp_path / "vit")}}
    progress = Told()
    document = experiment(tmp_path) | {"data": {"train": rows, "valid": 0.2, "test": 0.2}, "inputs": {"photo": photo}}
    motet.fit(document, out=tmp_path / "run", progress=progress)
    why = "photo: its pictures vary in training (crop, flip), so the frozen encoder reads them anew in every epoch; "
    assert "\n".join(progress.told).count(why + "`crop: 0, flip: false` would let what it says be kept") == 1


@pytest.mark.parametrize("kind", ["pipeline", "set_seed", "ViTModel"])
def test_a_bundle_names_no_other_part_of_the_library(kind: str, folders: Folders) -> None:
    preparation = prepared(folders["wavlm"][0])[1]
    for extractor in (
        {**preparation.extractor, "feature_extractor_type": kind},
        {**preparation.extractor, "trust_remote_code": True},
    ):
        other = type(preparation).model_validate({**preparation.model_dump(), "extractor": extractor})
        with pytest.raises(SpecError, match="the feature extractor"):
            other.read(SOUNDS[0])
