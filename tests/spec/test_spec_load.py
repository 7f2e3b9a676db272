"""A document becomes an experiment, or an error that says where, what was found and what to write instead."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from motet import balance, fusion, inputs, tasks
from motet.core.errors import SpecError
from motet.data import read_table
from motet.run.demo_data import demo_experiment
from motet.spec import ROOMS, Experiment, load, override, read_document
from motet.spec.propose import propose
from motet.spec.schema import experiment_schema, schema_text

REPO = Path(__file__).parents[2]
GOOD: dict[str, Any] = {
    "data": {"train": "reviews.csv", "valid": 0.1},
    "inputs": {"photo": "image", "review": {"kind": "text", "encoder": {"kind": "transformer", "layers": 2}}},
    "tasks": {"rating": "regression", "sold": {"kind": "binary", "weight": 2.0}},
    "fusion": {"kind": "late", "weights": "learned"},
    "sharing": "hard",
    "balance": {"tasks": "mgda", "modalities": "none"},
    "training": {"epochs": 3, "clip": None},
}


def but(path: str, value: Any) -> dict[str, Any]:
    """The good document with one place changed."""
    document: dict[str, Any] = json.loads(json.dumps(GOOD))
    *parents, last = path.split("/")
    place = document
    for name in parents:
        place = place[name]
    place[last] = value
    return document


# --- what is accepted


def test_every_spelling_of_a_component_is_the_same() -> None:
    words = load(but("fusion", "weighted"))
    objects = load(but("fusion", {"kind": "weighted"}))
    python = load(but("fusion", fusion.Weighted()) | {"inputs": {**GOOD["inputs"], "photo": inputs.Image()}})
    assert words == objects == python
    assert load(but("inputs/photo", {"kind": "image"})) == load(GOOD)


def test_a_path_alone_stands_for_the_data() -> None:
    assert load(but("data", "reviews.csv")) == load(but("data", {"train": "reviews.csv"}))
    rows = [{"a": 1}]
    assert load(but("data", rows)).data.train == rows


def test_left_out_paragraphs_have_their_defaults() -> None:
    small = load({name: GOOD[name] for name in ("data", "inputs", "tasks")})
    assert (small.fusion, small.balance.tasks) == (fusion.Auto(), balance.Fixed())
    assert small.training.epochs == "auto"


def test_an_experiment_is_taken_as_it_is() -> None:
    experiment = load(GOOD)
    assert load(experiment) is experiment


@pytest.mark.parametrize("document", [GOOD, demo_experiment(), but("training", {}), but("fusion", "hybrid")])
def test_written_and_read_again_it_is_equal(document: dict[str, Any], tmp_path: Path) -> None:
    experiment = load(document)
    dumped = experiment.model_dump(mode="json")
    assert load(dumped) == experiment
    (tmp_path / "e.json").write_text(json.dumps(dumped))
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(dumped, sort_keys=False))
    assert load(tmp_path / "e.json") == load(str(tmp_path / "e.yaml")) == experiment


@pytest.mark.parametrize(("room", "kind"), [(room, kind) for room in ROOMS for kind in ROOMS[room]])
def test_every_kind_is_read_by_its_word(room: str, kind: str) -> None:
    if room.startswith("balance."):
        assert getattr(load({**GOOD, "balance": {room[8:]: kind}}).balance, room[8:]).kind == kind
    elif room in ("inputs", "tasks"):
        assert getattr(load({**GOOD, room: {"x": kind}}), room)["x"].kind == kind
    else:
        assert getattr(load({**GOOD, room: kind}), room).kind == kind


# --- what is refused: the whole message

MESSAGES: list[tuple[Any, str]] = [
    (None, "expected a mapping with data, inputs and tasks, found nothing"),
    ([1], "expected a mapping with data, inputs and tasks, found [1]"),
    ({**GOOD, "trainig": {}}, "trainig: an experiment has no field 'trainig'; did you mean 'training'?"),
    ({"inputs": GOOD["inputs"], "tasks": GOOD["tasks"]}, "data: this field is needed and was left out"),
    (but("data", {}), "data.train: this field is needed and was left out"),
    (but("data/trian", "x"), "data.trian: 'data' has no field 'trian'; did you mean 'train'?"),
    (but("data/valid", 2), "data.valid: expected a fraction between 0 and 1, or a table; found 2"),
    (but("data/valid", True), "data.valid: expected a fraction, a table or null; found True"),
    (but("data/on_bad_cell", "stop"), "data.on_bad_cell: expected 'error' or 'skip', found 'stop'"),
    (but("data/max_bad_fraction", 2), "data.max_bad_fraction: expected at most 1, found 2"),
    (but("inputs", {}), "inputs: at least one is needed"),
    (but("inputs", None), "inputs: expected a mapping, found nothing"),
    (but("inputs", ["photo"]), "inputs: expected a mapping, found ['photo']"),
    (but("inputs/photo", "imge"), "inputs.photo.kind: 'imge' is not an input; did you mean 'image'?"),
    (
        but("inputs/photo", {"size": 8}),
        f"inputs.photo: expected a kind, found {{'size': 8}}; choose from {', '.join(ROOMS['inputs'])}",
    ),
    (but("inputs/photo", 3), "inputs.photo: expected a mapping or a word, found 3"),
    (but("inputs/photo", None), "inputs.photo: expected a mapping or a word, found nothing"),
    (
        but("inputs/a__b", "image"),
        "inputs: 'a__b' can not be a name: it is empty, has outer spaces or a double underscore",
    ),
    (
        but("inputs/photo", {"kind": "image", "widht": 8}),
        "inputs.photo.widht: 'photo' has no field 'widht'; did you mean 'width'?",
    ),
    (
        but("inputs/strength", {"kind": "image", "widht": 8}),
        "inputs.strength.widht: 'strength' has no field 'widht'; did you mean 'width'?",
    ),
    (
        but("inputs/int", {"kind": "image", "widht": 8}),
        "inputs.int.widht: 'int' has no field 'widht'; did you mean 'width'?",
    ),
    (
        but("inputs/text", {"kind": "image", "widht": 8}),
        "inputs.text.widht: 'text' has no field 'widht'; did you mean 'width'?",
    ),
    (but("inputs/photo", {"kind": "image", "width": 0}), "inputs.photo.width: expected more than 0 or 'auto', found 0"),
    (
        but("inputs/photo", {"kind": "image", "width": "wide"}),
        "inputs.photo.width: expected a whole number or 'auto', found 'wide'",
    ),
    (
        but("inputs/photo", {"kind": "image", "flip": "perhaps"}),
        "inputs.photo.flip: expected true or false, found 'perhaps'",
    ),
    (
        but("inputs/photo", {"kind": "image", "drop": 1.5}),
        "inputs.photo.drop: expected less than 1 or 'auto', found 1.5",
    ),
    (
        but("inputs/review/encoder/layer", 3),
        "inputs.review.encoder.layer: 'encoder' has no field 'layer'; did you mean 'layers'?",
    ),
    (
        but("inputs/review/encoder", "lstm"),
        "inputs.review.encoder.kind: 'lstm' is not a kind; choose from gru, transformer, tfidf, pretrained, minilm",
    ),
    (but("inputs/review/width", 9), "inputs.review: the 4 heads of the transformer must divide the width 9"),
    (
        but("inputs/photo", {"kind": "image", "column": "a", "columns": ["b"]}),
        "inputs.photo: give `column` or `columns`, not both",
    ),
    (but("tasks/rating", "regresion"), "tasks.rating.kind: 'regresion' is not a task; did you mean 'regression'?"),
    (
        but("tasks/rating", {"kind": "regression", "intervall": 1}),
        "tasks.rating.intervall: 'rating' has no field 'intervall'; did you mean 'interval'?",
    ),
    (but("tasks/sold/weight", 0), "tasks.sold.weight: expected more than 0 or a mapping, found 0"),
    (
        but("tasks/sold/weight", {0: 1, 0.5: 0}),
        "tasks.sold.weight: expected numbers above 0 by fractions of training from 0 to 1, such as {0: 1, 0.5: 3}, "
        "found {0: 1, 0.5: 0}",
    ),
    (
        but("tasks/sold/metric", "acuracy"),
        "tasks.sold.metric: binary has no metric 'acuracy'; did you mean 'accuracy'?",
    ),
    (but("fusion", "gatd"), "fusion.kind: 'gatd' is not a fusion; did you mean 'gated'?"),
    (but("fusion", "sum"), f"fusion.kind: 'sum' is not a fusion; choose from {', '.join(ROOMS['fusion'])}"),
    (but("fusion/widht", 4), "fusion.widht: 'fusion' has no field 'widht'; did you mean 'width'?"),
    (
        but("fusion", {"kind": "late", "weights": "lerned"}),
        "fusion.weights: expected 'mean' or 'learned' or a mapping, found 'lerned'",
    ),
    (but("sharing", "hrd"), "sharing.kind: 'hrd' is not a way of sharing; did you mean 'hard'?"),
    (
        but("sharing", {"kind": "hard", "widht": 3}),
        "sharing.widht: 'sharing' has no field 'widht'; did you mean 'width'?",
    ),
    (but("balance/task", "mgda"), "balance.task: 'balance' has no field 'task'; did you mean 'tasks'?"),
    (but("balance/tasks", "mgd"), "balance.tasks.kind: 'mgd' is not a task balancer; did you mean 'mgda'?"),
    (
        but("balance/tasks", {"kind": "mgda", "scal": 3}),
        "balance.tasks.scal: 'tasks' has no field 'scal'; did you mean 'scale'?",
    ),
    (
        but("balance/modalities", "non"),
        "balance.modalities.kind: 'non' is not a modality balancer; did you mean 'none'?",
    ),
    (but("training/epochs", 0), "training.epochs: expected at least 1 or 'auto', found 0"),
    (but("training/epochs", "many"), "training.epochs: expected a whole number or 'auto', found 'many'"),
    (but("training/learning_rate", -1), "training.learning_rate: expected more than 0 or 'auto', found -1"),
    (
        but("training/learning_rate", float("nan")),
        "training.learning_rate: expected a finite number or 'auto', found nan",
    ),
    (but("training/optimizer", "adamm"), "training.optimizer: expected 'adamw', 'adam' or 'sgd', found 'adamm'"),
    (but("training/epochs", "x" * 200), f"training.epochs: expected a whole number or 'auto', found '{'x' * 56}..."),
]


@pytest.mark.parametrize(("document", "message"), MESSAGES, ids=[message.split(":")[0] for _, message in MESSAGES])
def test_the_message_is(document: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(document)
    assert str(caught.value) == message


def test_every_mistake_has_its_line() -> None:
    document = but("training/epocs", 3) | {"fusion": "gatd"}
    with pytest.raises(SpecError) as caught:
        load(document)
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["fusion.kind", "training.epocs"]


def test_a_component_of_ones_own_is_taken_and_another_rooms_is_not() -> None:
    with pytest.raises(SpecError, match=r"tasks\.rating"):
        load(but("tasks/rating", inputs.Number()))
    assert load(but("tasks/rating", tasks.Regression(weight=3))).tasks["rating"].weight == 3


# --- files


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("e.yaml", "data: a.csv\ninputs: {a: text, a: image}\n", r"e\.yaml:2: 'a' is written twice; keep one"),
        ("e.yaml", "data: a.csv\ndata: b.csv\n", r"e\.yaml:2: 'data' is written twice; keep one"),
        ("e.yaml", "data: [\n", r"e\.yaml:2:1: not YAML: "),
        ("e.yaml", "data: !!python/object:os.system x\n", r"e\.yaml:1:7: not YAML: could not determine a constructor"),
        ("e.yaml", "a: &x [*x]\n", r"e\.yaml:1:4: not YAML: found unconstructable"),
        ("e.yaml", "? [a, b]\n: c\n", r"e\.yaml:1: expected a plain name before the colon"),
        ("e.json", '{"data": }', r"e\.json:1:10: not JSON: Expecting value"),
        ("e.json", '{"data": 1, "data": 2}', r"e\.json: 'data' is written twice; keep one"),
        ("e.json", "[1]", r"e\.json: expected a mapping with data, inputs and tasks, found \[1\]"),
    ],
)
def test_a_file_that_is_wrong(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SpecError, match=message):
        load(tmp_path / name)


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_bytes(b"a: \xff")
    with pytest.raises(SpecError, match=r"experiment\.yaml: byte 4 is not UTF-8"):
        load(tmp_path / "experiment.yaml")
    with pytest.raises(SpecError, match=r"there is no such file; did you mean 'experiment\.yaml'\?"):
        load(tmp_path / "experimnt.yaml")
    with pytest.raises(SpecError, match="can not be read as an experiment: Is a directory"):
        load(tmp_path)


def test_a_byte_order_mark_is_no_part_of_a_key(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text("\ufeffdata: a.csv\n", encoding="utf-8")
    assert read_document(tmp_path / "e.yaml") == {"data": "a.csv"}


def test_errors_of_a_file_name_it_in_every_line(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(but("training/epocs", 3) | {"fusion": "gatd"}))
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "e.yaml")
    assert all(line.startswith(f"{tmp_path / 'e.yaml'}: ") for line in str(caught.value).splitlines())


# --- --set


def test_assignments_change_what_they_name_and_nothing_else() -> None:
    before = json.loads(json.dumps(GOOD))
    changed = override(
        GOOD, ["training.epochs=5", "fusion=concat", "inputs.photo.width=64", "data.test=0.2", "training.minutes=null"]
    )
    assert before == GOOD
    assert changed["training"] == {"epochs": 5, "clip": None, "minutes": None}
    assert changed["fusion"] == "concat"
    assert changed["inputs"]["photo"] == {"kind": "image", "width": 64}
    assert changed["data"] == {"train": "reviews.csv", "valid": 0.1, "test": 0.2}
    load(changed)


def test_the_value_of_an_assignment_is_yaml_and_may_hold_an_equals_sign() -> None:
    changed = override({}, ["a.b={c: [1, two]}", "d=x=y", "e=", "f= 1e-3", "training.learning_rate=1e-3"])
    assert changed["a"] == {"b": {"c": [1, "two"]}}
    assert (changed["d"], changed["e"]) == ("x=y", None)
    assert load({**GOOD, "training": changed["training"]}).training.learning_rate == 1e-3


def test_an_assignment_into_a_table_that_is_a_path_keeps_the_path() -> None:
    document = {**GOOD, "data": "reviews.csv"}
    assert (
        load(override(document, ["data.valid=0.3"])).data
        == load(but("data", {"train": "reviews.csv", "valid": 0.3})).data
    )


def test_rows_in_memory_survive_an_assignment() -> None:
    rows = [{"a": 1, "photo": b"x"}]
    assert override({**GOOD, "data": {"train": rows}}, ["training.epochs=1"])["data"]["train"] is rows


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("training.epochs", "--set 'training.epochs': expected PATH=VALUE, such as training.epochs=5"),
        ("=5", "--set '=5': expected PATH=VALUE, such as training.epochs=5"),
        ("a=[1", "--set 'a=[1': '[1' is not a value; put it in quotes: a='\"[1\"'"),
        ("training..epochs=1", "--set 'training..epochs=1': expected PATH=VALUE, such as training.epochs=5"),
        ("training.epochs.x=1", "--set 'training.epochs.x=1': training.epochs is 3, which has no fields"),
    ],
)
def test_an_assignment_that_is_wrong(assignment: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        override(GOOD, [assignment])
    assert str(caught.value) == message


# --- the schema


def test_the_schema_in_the_docs_is_current() -> None:
    path = REPO / "docs" / "experiment.schema.json"
    regenerate = "python -c 'from motet.spec.schema import schema_text; print(schema_text(), end=\"\")'"
    assert path.read_text(encoding="utf-8") == schema_text(), f"{regenerate} > docs/{path.name}"


@pytest.mark.parametrize("document", [GOOD, demo_experiment(), but("data", "reviews.csv"), but("fusion", "hybrid")])
def test_the_schema_takes_what_the_loader_takes(document: dict[str, Any]) -> None:
    assert fits(document, experiment_schema())
    assert fits(load(document).model_dump(mode="json"), experiment_schema())


def test_the_schema_takes_what_the_pages_show_and_init_writes(tmp_path: Path) -> None:
    pages = [REPO / "README.md", *sorted((REPO / "docs").glob("*.md"))]
    blocks = [block for page in pages for block in re.findall(r"```yaml[^\n]*\n(.*?)```", page.read_text(), re.DOTALL)]
    documents = [document for document in map(yaml.safe_load, blocks) if {"data", "inputs", "tasks"} <= set(document)]
    assert documents
    rows = [{"size": i % 5 + 0.5, "good": i % 2, "note": f"a note of some length {i}"} for i in range(20)]
    written = propose(read_table(rows), path=Path("t.csv"), folder=tmp_path, tasks=["good"])
    for document in [*documents, yaml.safe_load(written)]:
        assert fits(document, experiment_schema()), document


SAID_BY_PYTHON_ALONE = (
    "can not be a name",
    "not both",
    "must divide",
    "has no metric",
    "finite",
    "expected a fraction",
)


@pytest.mark.parametrize(
    "document",
    [one for one, message in MESSAGES if not any(words in message for words in SAID_BY_PYTHON_ALONE)],
)
def test_the_schema_refuses_what_the_loader_refuses(document: Any) -> None:
    assert not fits(document, experiment_schema())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_schema_and_the_loader_agree_on_a_changed_number(data: st.DataObject) -> None:
    field = data.draw(
        st.sampled_from(["epochs", "batch_size", "accumulate", "warmup", "weight_decay", "clip", "seed", "minutes"])
    )
    value = data.draw(st.one_of(st.integers(-3, 3), st.floats(-2, 2).filter(lambda x: x != int(x))))
    document = but(f"training/{field}", value)
    try:
        load(document)
        accepted = True
    except SpecError:
        accepted = False
    assert fits(document, experiment_schema()) == accepted


def fits(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether the value satisfies the schema: the part of draft 2020-12 that ours uses, and no more."""
    return _Validator(schema["$defs"]).fits(value, schema)


class _Validator:
    IGNORED = frozenset({"$schema", "$defs", "description", "default", "title"})
    TYPES: Mapping[str, Any] = {"string": str, "object": dict, "array": list, "boolean": bool, "null": type(None)}

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self.definitions = definitions

    def fits(self, value: Any, schema: Any) -> bool:
        if isinstance(schema, bool):
            return schema
        return all(self._keyword(word, value, schema) for word in schema if word not in self.IGNORED)

    def _keyword(self, word: str, value: Any, schema: Mapping[str, Any]) -> bool:
        told = schema[word]
        if word == "$ref":
            return self.fits(value, self.definitions[told.removeprefix("#/$defs/")])
        if word in ("anyOf", "oneOf"):
            count = sum(self.fits(value, one) for one in told)
            return count == 1 if word == "oneOf" else count > 0
        if word in ("enum", "const"):
            return value in (told if word == "enum" else [told])
        if word == "type":
            return self._is(value, told)
        if isinstance(value, bool):
            return True
        if isinstance(value, int | float):
            return self._number(word, value, told)
        if isinstance(value, str):
            return self._text(word, value, told)
        if isinstance(value, list):
            return self._list(word, value, told, schema)
        return self._object(word, value, told, schema) if isinstance(value, dict) else True

    def _is(self, value: Any, name: str) -> bool:
        if name in ("integer", "number"):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            return number and (name == "number" or value == int(value))
        return isinstance(value, self.TYPES[name])

    @staticmethod
    def _number(word: str, value: float, told: float) -> bool:
        found = {"minimum": value >= told, "maximum": value <= told} if word in ("minimum", "maximum") else {}
        found |= {"exclusiveMinimum": value > told, "exclusiveMaximum": value < told} if word.startswith("excl") else {}
        return found.get(word, True)

    @staticmethod
    def _text(word: str, value: str, told: Any) -> bool:
        return len(value) >= told if word == "minLength" else word != "pattern" or bool(re.search(told, value))

    def _list(self, word: str, value: list[Any], told: Any, schema: Mapping[str, Any]) -> bool:
        if word == "items":
            return all(self.fits(part, told) for part in value[len(schema.get("prefixItems", [])) :])
        if word == "prefixItems":
            return all(self.fits(part, one) for part, one in zip(value, told, strict=False))
        return len(value) >= told if word == "minItems" else word != "maxItems" or len(value) <= told

    def _object(self, word: str, value: dict[str, Any], told: Any, schema: Mapping[str, Any]) -> bool:
        known = schema.get("properties", {})
        if word == "properties":
            return all(self.fits(value[name], one) for name, one in told.items() if name in value)
        if word == "additionalProperties":
            return all(self.fits(part, told) for name, part in value.items() if name not in known)
        if word == "required":
            return all(name in value for name in told)
        return word != "minProperties" or len(value) >= told


def test_the_small_validator_refuses() -> None:
    schema = {
        "$defs": {"n": {"type": "integer", "minimum": 1}},
        "type": "object",
        "required": ["a"],
        "properties": {"a": {"$ref": "#/$defs/n"}},
        "additionalProperties": False,
    }
    assert fits({"a": 1}, schema)
    assert not any(fits(wrong, schema) for wrong in ({}, {"a": 0}, {"a": "1"}, {"a": True}, {"a": 1, "b": 2}, [], None))


def test_the_schema_lists_every_kind() -> None:
    properties = experiment_schema()["properties"]
    assert set(properties["inputs"]["additionalProperties"]["anyOf"][0]["enum"]) == set(ROOMS["inputs"])
    assert set(properties["fusion"]["anyOf"][0]["enum"]) == set(ROOMS["fusion"])
    assert set(Experiment.model_fields) == set(properties)
