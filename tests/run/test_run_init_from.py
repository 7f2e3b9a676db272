"""What a training starts from: weights with the preparations they were learned with, or neither."""

import json
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import motet
from motet.artifact import read_bundle
from motet.core.errors import BundleError, MotetError, SpecError
from motet.run.prepare import build, prepare
from motet.spec import load
from motet.training import Quiet

NOTE = {"kind": "text", "vocabulary": 275, "width": 6}
INPUTS = {"note": NOTE, "age": {"kind": "number", "width": 4, "bins": 3}}


class Said(Quiet):
    """Keeps what is said, and presses Ctrl-C after a step."""

    def __init__(self, *, stop: int = -1) -> None:
        self.lines: list[str] = []
        self.stop = stop

    def say(self, text: str) -> None:
        self.lines.append(text)

    def step(self, *, epoch: int, epochs: int, step: int, steps: int, losses: Mapping[str, float]) -> None:
        if step == self.stop:
            signal.raise_signal(signal.SIGINT)


def rows(words: str, *, count: int = 40, seed: int = 0) -> list[dict[str, Any]]:
    chance = np.random.default_rng(seed)
    return [
        {
            "note": " ".join(chance.choice(words.split(), size=3)),
            "other": " ".join(chance.choice(words.split(), size=2)),
            "age": round(float(chance.normal(40, 10)), 1),
            "size": round(float(chance.normal(1, 2)), 2),
            "bought": ["no", "yes"][number % 2],
            "price": round(float(chance.normal()), 2),
        }
        for number in range(count)
    ]


def document(table: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    small = {"fusion": {"kind": "concat", "width": 8}, "sharing": {"kind": "hard", "width": 8}}
    given = {"data": {"train": table, "valid": 0.2}, "inputs": INPUTS, "tasks": {"bought": "binary"}}
    return given | small | {"training": {"epochs": 2, "batch_size": 8}} | changes


def starting(source: Any, **changes: Any) -> dict[str, Any]:
    """An experiment on other rows, in other words, that starts from there."""
    training = {"epochs": 2, "batch_size": 8, "init_from": source}
    return document(rows("big small round flat", seed=1), training=training, **changes)


def built(given: dict[str, Any]) -> Any:
    prepared = prepare(load(given), base=Path(), progress=Quiet())
    return prepared, build(prepared.fitted)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("source")
    motet.fit(document(rows("alpha beta gamma delta")), out=folder / "run")
    return str(folder / "run")


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(bool((first[name] == second[name]).all()) for name in first)


# --- what is taken


def test_an_encoder_comes_with_the_tokenizer_its_weights_were_learned_with(source: str) -> None:
    """The trap: a tokenizer fitted to the texts here gives other numbers to the words the weights know."""
    prepared, network = built(starting(source))
    former = motet.load(source)
    own = prepared.fitted.inputs["note"][1]
    assert own.tokenizer == former.inputs["note"][1].tokenizer
    anew = load(starting(source)).inputs["note"].fit([row["note"] for row in rows("big small round flat", seed=1)])
    assert own.tokenizer != anew.tokenizer
    texts = ["alpha gamma", "round flat", "delta"]
    assert own.read(texts[0]).tolist() != anew.read(texts[0]).tolist()
    for name in INPUTS:
        cells = texts if name == "note" else [40.0, 12.5]
        was = former.inputs[name][1]
        values = [one.batch([one.read(cell) for cell in cells]) for one in (prepared.fitted.inputs[name][1], was)]
        encoders = [one.encoders[name].encoder.eval() for one in (network, former.network)]
        said = [encoder(value).values for encoder, value in zip(encoders, values, strict=True)]
        assert bool((said[0] == said[1]).all())
        assert bool((network.encoders[name].absent == former.network.encoders[name].absent).all())


def test_fusion_and_trunk_are_taken_heads_and_priors_are_not(source: str) -> None:
    former = motet.load(source).network
    prepared, network = built(starting(source))
    _, anew = built(document(rows("big small", seed=1)))
    assert same(network.fusion, former.fusion)
    assert not same(network.fusion, anew.fusion)
    assert same(network.sharing, former.sharing)
    assert not same(network.heads, former.heads)
    assert same(network.priors, anew.priors)
    assert not same(network.priors, former.priors)
    assert prepared.fitted.taken.document() == {
        "inputs": {"age": "age", "note": "note"},
        "fusion": [len(former.fusion.state_dict())] * 2,
        "trunk": [len(former.sharing.state_dict())] * 2,
        "afresh": ["the head of bought"],
    }


def test_how_an_input_is_trained_is_each_runs_own(source: str) -> None:
    note = {**NOTE, "word_dropout": 0.4, "dropout": 0.6, "drop": 0.25, "column": "other"}
    prepared, network = built(starting(source, inputs=INPUTS | {"note": note}))
    spec, preparation = prepared.fitted.inputs["note"]
    assert (spec.word_dropout, spec.dropout, spec.drop, spec.column) == (0.4, 0.6, 0.25, "other")
    assert preparation.word_dropout == 0.4
    assert network.drop["note"].rate == 0.25


def test_fields_that_are_left_out_are_those_of_the_source(source: str) -> None:
    prepared, _ = built(starting(source, inputs={"note": "text", "age": "number"}))
    note, age = (prepared.fitted.inputs[name][0] for name in ("note", "age"))
    assert (note.width, note.vocabulary, age.width) == (6, 275, 4)


def test_what_was_taken_is_said_logged_and_reported(source: str, tmp_path: Path) -> None:
    said = Said()
    run = motet.fit(starting(source), out=tmp_path / "run", progress=said)
    text = "inputs age, note, fusion (2 of 2 tensors), trunk (4 of 4 tensors); afresh: the head of bought"
    assert f"taken from {source}: {text}" in said.lines
    assert run.report.content["training"]["init_from"] == text
    first = json.loads((run.folder / "log.jsonl").read_text().splitlines()[0])["init_from"]
    assert first["inputs"] == {"age": "age", "note": "note"}
    assert not (run.folder / "init_from").exists()
    assert source not in (run.folder / "bundle" / "bundle.json").read_text()
    assert (
        "init_from" not in (motet.load(source), json.loads((Path(source) / "report.json").read_text()))[1]["training"]
    )


# --- what is not the same is not taken


def test_columns_of_one_input_are_not_taken_for_another_that_is_as_wide(tmp_path: Path) -> None:
    """Concat over {age, note} has the shapes of concat over {note, size}; in sorted order the columns are swapped."""
    motet.fit(document(rows("alpha beta")), out=tmp_path / "pre")
    inputs = {"note": NOTE, "size": INPUTS["age"]}
    prepared, network = built(starting(str(tmp_path / "pre"), inputs=inputs))
    taken, former = prepared.fitted.taken, motet.load(tmp_path / "pre").network
    assert [one.shape for one in network.fusion.state_dict().values()] == [
        one.shape for one in former.fusion.state_dict().values()
    ]
    assert dict(taken.inputs) == {"note": "note"}
    assert taken.fusion[0] == taken.trunk[0] == 0
    assert not same(network.fusion, former.fusion)
    assert "input size" in taken.afresh


def test_of_a_transformer_over_one_more_input_the_layers_and_the_inputs_taken_are_kept(tmp_path: Path) -> None:
    fusion = {"kind": "transformer", "width": 8, "layers": 1, "heads": 2}
    motet.fit(document(rows("alpha beta"), fusion=fusion), out=tmp_path / "pre")
    inputs = INPUTS | {"size": {"kind": "number", "width": 4}}
    prepared, network = built(starting(str(tmp_path / "pre"), inputs=inputs, fusion=fusion))
    own, there = network.fusion.state_dict(), motet.load(tmp_path / "pre").network.fusion.state_dict()
    new = {name for name in own if "size" in name.split(".")}
    assert new
    assert {name for name in own if name in there and bool((own[name] == there[name]).all())} >= own.keys() - new
    assert prepared.fitted.taken.fusion == (len(own) - len(new), len(own))
    assert prepared.fitted.taken.trunk[0] > 0


def test_of_a_hybrid_over_one_more_input_the_streams_of_inputs_are_kept_and_the_joint_one_is_not(
    tmp_path: Path,
) -> None:
    motet.fit(document(rows("alpha beta"), fusion="auto"), out=tmp_path / "pre")
    inputs = INPUTS | {"size": {"kind": "number", "width": 4}}
    _, network = built(starting(str(tmp_path / "pre"), inputs=inputs, fusion="auto"))
    former = motet.load(tmp_path / "pre").network
    kept = {name: same(network.sharing[name], former.sharing[name]) for name in ("age", "note", "joint")}
    assert kept == {"age": True, "note": True, "joint": False}
    own, there = network.fusion.state_dict(), former.fusion.state_dict()
    assert all(bool((own[name] == there[name]).all()) for name in there if {"age", "note"} & set(name.split(".")))


def test_widths_that_add_up_to_the_same_do_not_make_two_inputs_alike(tmp_path: Path) -> None:
    """age 4 and size 8 here, age 4 and note 8 there: the columns of concat are as many, and those of size are new."""
    motet.fit(document(rows("alpha beta"), inputs=INPUTS | {"note": {**NOTE, "width": 8}}), out=tmp_path / "pre")
    inputs = {"age": INPUTS["age"], "size": {"kind": "number", "width": 8}}
    prepared, _ = built(starting(str(tmp_path / "pre"), inputs=inputs))
    assert prepared.fitted.taken.fusion[0] == 0


def test_what_mixes_the_experts_of_all_tasks_is_not_taken_for_other_tasks(tmp_path: Path) -> None:
    sharing = {"kind": "ple", "width": 8, "layers": 2}
    two = {"bought": "binary", "price": "regression"}
    motet.fit(document(rows("alpha beta"), sharing=sharing, tasks=two), out=tmp_path / "pre")
    tasks = {name + " again": {"kind": kind, "column": name} for name, kind in two.items()}
    prepared, network = built(starting(str(tmp_path / "pre"), sharing=sharing, tasks=tasks))
    own, there = network.sharing.state_dict(), motet.load(tmp_path / "pre").network.sharing.state_dict()
    taken = {name for name in own if name in there and bool((own[name] == there[name]).all()) and own[name].dim() == 2}
    assert taken
    assert not any("common" in name or "again" in name for name in taken)
    assert any("common" in name for name in own)
    assert 0 < prepared.fitted.taken.trunk[0] < prepared.fitted.taken.trunk[1]


def test_another_fusion_starts_afresh_and_the_trunk_behind_it(source: str) -> None:
    prepared, _ = built(starting(source, fusion={"kind": "gated", "width": 8}))
    assert prepared.fitted.taken.fusion[0] == prepared.fitted.taken.trunk[0] == 0
    assert prepared.fitted.taken.afresh[:2] == ["fusion", "trunk"]


# --- under another name


def test_an_input_takes_the_encoder_of_another_of_its_kind(source: str) -> None:
    inputs = {"age": INPUTS["age"], "words": NOTE | {"column": "other"}}
    given = starting({"run": source, "inputs": {"words": "note", "age": "age"}}, inputs=inputs)
    prepared, network = built(given)
    former = motet.load(source)
    assert same(network.encoders["words"], former.network.encoders["note"])
    assert prepared.fitted.inputs["words"][1].tokenizer == former.inputs["note"][1].tokenizer
    assert prepared.fitted.inputs["words"][0].column == "other"
    ours, theirs = network.fusion.state_dict(), former.network.fusion.state_dict()
    pairs = zip(ours.values(), theirs.values(), strict=True)
    assert all(bool((own == there).all()) for own, there in pairs), "age < note and age < words: the order is the same"
    assert "words (there note)" in prepared.fitted.taken.text()


def test_two_inputs_may_take_one_encoder_and_others_none(source: str) -> None:
    inputs = INPUTS | {"words": {"kind": "text", "column": "other"}}
    given = starting({"run": source, "inputs": {"words": "note", "note": "note"}}, inputs=inputs)
    prepared, network = built(given)
    former = motet.load(source).network
    assert all(same(network.encoders[name], former.encoders["note"]) for name in ("note", "words"))
    assert not same(network.encoders["age"], former.encoders["age"])
    assert prepared.fitted.taken.afresh[0] == "input age"


def test_inputs_that_share_take_one_preparation(source: str) -> None:
    inputs = INPUTS | {"words": {"kind": "text", "column": "other", "share": "note"}}
    prepared, network = built(starting(source, inputs=inputs))
    assert prepared.fitted.inputs["words"][1] is prepared.fitted.inputs["note"][1]
    assert same(network.encoders["note"], motet.load(source).network.encoders["note"])


# --- what is refused


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"note": NOTE | {"width": 8}}, ["inputs.note.width", "found 8", "expected 6", "leave the field out"]),
        ({"note": NOTE | {"vocabulary": 300}}, ["inputs.note.vocabulary", "found 300", "expected 275"]),
        ({"note": NOTE | {"encoder": {"kind": "gru", "layers": 2}}}, ["inputs.note.encoder.layers", "found 2"]),
        ({"note": NOTE | {"width": 8, "encoder": "transformer"}}, ["inputs.note.encoder", "'transformer'", "'gru'"]),
        ({"note": {"kind": "category"}}, ["'note' is of kind category", "expected text"]),
        ({"nothing": {"kind": "text", "column": "note"}}, ["has inputs age, note", "none of which is one here"]),
    ],
)
def test_an_input_that_is_otherwise(source: str, inputs: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(SpecError) as error:
        built(starting(source, inputs=inputs))
    for word in [*words, "init_from"]:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"nota": "note"}, "training.init_from.inputs.nota: there is no input 'nota'; did you mean 'note'?"),
        ({"note": "nota"}, "has no input 'nota'; did you mean 'note'?"),
        ({"note": "age"}, "'note' is of kind text, but expected number"),
        ({"words": "note"}, "'words' shares the encoder of 'note'; name that one"),
    ],
)
def test_a_mapping_that_can_not_be(source: str, mapping: dict[str, str], words: str) -> None:
    inputs = INPUTS | {"words": {"kind": "text", "column": "other", "share": "note"}}
    with pytest.raises(SpecError) as error:
        built(starting({"run": source, "inputs": mapping}, inputs=inputs))
    assert words in str(error.value)


def test_a_source_that_is_not_there_not_finished_or_changed(source: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"training\.init_from: .*there is no bundle"):
        built(starting(str(tmp_path / "nowhere")))
    with pytest.raises(MotetError):
        motet.fit(document(rows("alpha")), out=tmp_path / "stopped", progress=Said(stop=2))
    with pytest.raises(BundleError, match="not finished; go on with it by --resume"):
        built(starting(str(tmp_path / "stopped")))
    damaged = shutil.copytree(source, tmp_path / "damaged") / "bundle" / "weights.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(BundleError, match="its content was changed"):
        built(starting(str(tmp_path / "damaged")))
    assert not (tmp_path / "run").exists()


# --- once begun, a run needs the source no more


def test_resumed_without_the_source_it_is_the_same_bit_for_bit(source: str, tmp_path: Path) -> None:
    whole = motet.fit(starting(source), out=tmp_path / "whole")
    pre = shutil.copytree(source, tmp_path / "pre")
    given = starting(str(pre))
    with pytest.raises(MotetError, match="stopped after step 5"):
        motet.fit(given, out=tmp_path / "run", progress=Said(stop=5))
    assert (tmp_path / "run" / "init_from" / "manifest.json").is_file()
    shutil.rmtree(pre)
    again = motet.fit(given, out=tmp_path / "run", resume=True)
    for name in ("bundle.json", "weights.safetensors"):
        assert (again.folder / "bundle" / name).read_bytes() == (whole.folder / "bundle" / name).read_bytes()
    logs = [(run.folder / "log.jsonl").read_text().splitlines() for run in (whole, again)]
    assert logs[0] == [line for line in logs[1] if "resumed_at" not in line]
    assert again.report.content["training"]["init_from"] == whole.report.content["training"]["init_from"]
    assert not (again.folder / "init_from").exists()


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again_from_the_copy(
    source: str, tmp_path: Path
) -> None:
    pre = shutil.copytree(source, tmp_path / "pre")
    given = starting(str(pre))
    with pytest.raises(MotetError):
        motet.fit(given, out=tmp_path / "run", progress=Said(stop=2))
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    shutil.rmtree(pre)
    again = motet.fit(given, out=tmp_path / "run", resume=True)
    weights = [read_bundle(Path(one) / "bundle").weights for one in (again.folder, _fitted(source, tmp_path))]
    assert all(bool((weights[0][name] == weights[1][name]).all()) for name in weights[1])


def _fitted(source: str, folder: Path) -> Path:
    return motet.fit(starting(source), out=folder / "whole").folder


def test_the_folder_is_relative_to_the_experiment_and_written_so_that_it_is_found_from_anywhere(
    source: str, tmp_path: Path
) -> None:
    import yaml

    shutil.copytree(source, tmp_path / "runs" / "pre")
    given = starting("runs/pre")
    (tmp_path / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given["data"]["train"]))
    given["data"] = {"train": "table.jsonl", "valid": 0.2}
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(given))
    run = motet.fit(tmp_path / "experiment.yaml", out=tmp_path / "out")
    written = yaml.safe_load((run.folder / "experiment.yaml").read_text())["training"]["init_from"]
    assert written == {"run": str((tmp_path / "runs" / "pre").resolve()), "inputs": None}
    assert motet.check(tmp_path / "experiment.yaml").problems == ()


# --- pretrained models of others


def test_a_pretrained_model_that_was_frozen_is_trained_on_without_its_folder(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="the extra `pretrained` is not installed")
    from tests.inputs.pretrained_models import save_text_model

    save_text_model("bert", tmp_path / "bert")

    def note(folder: str, **fields: Any) -> dict[str, Any]:
        encoder = {"kind": "pretrained", "model": str(tmp_path / folder), **fields}
        return {"note": {"kind": "text", "encoder": encoder}, "age": INPUTS["age"]}

    motet.fit(document(rows("red blue green tree"), inputs=note("bert")), out=tmp_path / "pre")
    (tmp_path / "bert").rename(tmp_path / "gone")
    _, network = built(starting(str(tmp_path / "pre"), inputs=note("bert", tune="full", layer_decay=0.5)))
    former = motet.load(tmp_path / "pre").network
    assert same(network.encoders["note"], former.encoders["note"])
    assert all(one.requires_grad for one in network.encoders["note"].parameters())
    with pytest.raises(SpecError, match=r"inputs.note.encoder.model: found 'other', but expected 'bert'"):
        built(starting(str(tmp_path / "pre"), inputs=note("other")))
