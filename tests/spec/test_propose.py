"""What `motet init` makes of a table: every rule on a small table made for it, and three real tables."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from motet.core.errors import SpecError
from motet.data import read_table
from motet.spec import load
from motet.spec.propose import propose, quoted

Rows = list[dict[str, Any]]


def text_of(rows: Rows, *tasks: str, inputs: list[str] | None = None, folder: Path = Path()) -> str:
    return propose(read_table(rows, folder=folder), path=Path("t.csv"), folder=folder, tasks=tasks, inputs=inputs)


def document_of(rows: Rows, *tasks: str, inputs: list[str] | None = None) -> dict[str, Any]:
    """The document, once it has passed the loader."""
    document: dict[str, Any] = yaml.safe_load(text_of(rows, *tasks, inputs=inputs))
    load(document)
    return document


def table(**columns: list[Any]) -> Rows:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


SIZE = [n % 7 + 0.5 for n in range(40)]
GOOD = ["yes" if n % 3 else "no" for n in range(40)]


def test_each_column_gets_its_kind() -> None:
    words = ["the red one", "a blue one I liked", "it broke", "came late but works well"]
    rows = table(
        size=SIZE,
        colour=[("red", "blue", "green")[n % 3] for n in range(40)],
        review=[f"{words[n % 4]} after {n} days of use" for n in range(40)],
        photo=[f"p/{n}.jpg" for n in range(40)],
        sound=[f"s/{n}.wav" for n in range(40)],
        good=GOOD,
    )
    assert document_of(rows, "good")["inputs"] == {
        "size": "number", "colour": "category", "review": "text", "photo": "image", "sound": "audio",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (GOOD, "binary"),
        ([n % 2 for n in range(40)], "binary"),
        ([n % 5 for n in range(40)], "multiclass"),
        (["abc"[n % 3] for n in range(40)], "multiclass"),
        ([n * 0.37 for n in range(40)], "regression"),
        ([n * 3 for n in range(40)], "regression"),
        ([("a|b", "b", "a", "b|c")[n % 4] for n in range(40)], "multilabel"),
        ([[n * 0.5, n * 0.25] for n in range(40)], "regression"),
        ([f"{n}|{n % 3}" for n in range(40)], "regression"),
    ],
)
def test_each_task_gets_its_kind(labels: list[Any], kind: str) -> None:
    assert document_of(table(size=SIZE, target=labels), "target")["tasks"] == {"target": kind}


@pytest.mark.parametrize(
    ("name", "labels", "kind"),
    [
        *((name, [n % 5 + 1 for n in range(40)], "ordinal") for name in ("rating", "Stars", "quality_2", "skinGrade")),
        *((name, [n % 5 + 1 for n in range(40)], "multiclass") for name in ("digit", "upgrade", "scoreboard", "class")),
        ("rating", [n % 2 for n in range(40)], "binary"),
        ("rating", [n % 9 / 2 for n in range(40)], "regression"),
        ("rating", list(range(40)), "regression"),
        ("rating", ["abc"[n % 3] for n in range(40)], "multiclass"),
        ("rating", [f"0{n % 3}" for n in range(40)], "multiclass"),
    ],
)
def test_few_whole_numbers_called_ratings_have_an_order(name: str, labels: list[Any], kind: str) -> None:
    assert document_of(table(size=SIZE, **{name: labels}), name)["tasks"] == {name: kind}


def test_a_rating_says_what_else_it_could_be() -> None:
    text = text_of(table(size=SIZE, rating=[n % 5 + 1 for n in range(40)]), "rating")
    assert "# 5 values: 1, 2, 3, ...; `regression` would take them as amounts" in text


def test_an_id_names_rows_and_is_no_input() -> None:
    document = document_of(table(slip_id=[f"s{n}" for n in range(40)], size=SIZE, good=GOOD), "good")
    assert document["data"]["id"] == "slip_id"
    assert list(document["inputs"]) == ["size"]


def test_a_split_column_is_found_by_its_values_and_without_one_fractions_are_written() -> None:
    parts = ["train", "train", "dev", "test"] * 10
    assert document_of(table(size=SIZE, part=parts, good=GOOD), "good")["data"] == {"train": "t.csv", "split": "part"}
    assert document_of(table(size=SIZE, good=GOOD), "good")["data"] == {"train": "t.csv", "valid": 0.1, "test": 0.1}


def test_what_teaches_nothing_or_too_much_is_left_out_with_the_reason() -> None:
    rows = table(
        size=SIZE,
        size_again=SIZE,
        blank=[None] * 40,
        shop=["here"] * 40,
        answer=["Y" if label == "yes" else "N" for label in GOOD],
        customer_id=[n % 30 for n in range(40)],
        began=[f"00:14:{n:02d},127" for n in range(40)],
        good=GOOD,
    )
    text = text_of(rows, "good")
    assert list(yaml.safe_load(text)["inputs"]) == ["size"]
    for column, reason in {
        "size_again": "the same as size",
        "blank": "empty",
        "shop": "the same in every row: here",
        "answer": "it names good one to one, so it gives the answer away",
        "customer_id": "named like an id; `data.group` keeps the rows of a group on one side of the split",
        "began": "text without words, such as 00:14:00,127",
    }.items():
        assert f"#   {column}: {reason}\n" in text


def test_a_numbered_id_with_few_values_is_a_category() -> None:
    assert document_of(table(shop_id=[n % 2 for n in range(40)], good=GOOD), "good")["inputs"] == {
        "shop_id": "category"
    }


def test_words_for_absence_are_declared() -> None:
    sizes = [str(size) if n % 5 else "n/a" for n, size in enumerate(SIZE)]
    amounts = [str(n * 0.37) if n % 5 else "?" for n in range(40)]
    text = text_of(table(size=sizes, amount=amounts), "amount")
    document = yaml.safe_load(text)
    assert document["inputs"] == {"size": {"kind": "number", "missing": ["n/a"]}}
    assert document["tasks"] == {"amount": {"kind": "regression", "missing": ["?"]}}
    assert "absent where it says n/a (8 cells)" in text
    assert "unknown in 8 rows" in text


def test_many_numbered_columns_become_one_vector() -> None:
    columns = {f"el_{place}": [n * place % 7 + 0.5 for n in range(40)] for place in range(9)}
    document = document_of(table(**columns, size=SIZE, good=GOOD), "good")
    assert document["inputs"] == {"el": {"kind": "vector", "columns": "el_*"}, "size": "number"}


@pytest.mark.parametrize("spoilt", ["a hole", "a stranger", "too few"])
def test_numbered_columns_that_are_no_vector_stay_apart(spoilt: str) -> None:
    columns: dict[str, list[Any]] = {
        f"el_{place}": [n * (place + 1) % 7 + 0.5 for n in range(40)] for place in range(9)
    }
    if spoilt == "a hole":
        columns["el_3"][5] = None
    if spoilt == "a stranger":
        columns["el_name"] = ["red", "blue"] * 20
    if spoilt == "too few":
        columns = dict(list(columns.items())[:3])
    inputs = document_of(table(**columns, good=GOOD), "good")["inputs"]
    assert "el_1" in inputs
    assert "vector" not in {word if isinstance(word, str) else word["kind"] for word in inputs.values()}


def test_root_is_the_narrowest_folder_that_holds_all_media(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    for folder in ("media/pictures", "media/sounds"):
        (tmp_path / folder).mkdir(parents=True)
    for n in range(4):
        (tmp_path / f"media/pictures/{n}.png").touch()
        (tmp_path / f"media/sounds/{n}.wav").touch()
    lines = ["photo,sound,good"] + [f"../media/pictures/{n}.png,../media/sounds/{n}.wav,{n % 2}" for n in range(4)]
    path = tmp_path / "tables" / "t.csv"
    path.write_text("\n".join(lines))

    def root(folder: Path, inputs: list[str]) -> object:
        text = propose(read_table(path), path=path, folder=folder, tasks=["good"], inputs=inputs)
        return yaml.safe_load(text)["data"].get("root")

    assert root(path.parent, ["photo", "sound"]) == "../media"
    assert root(path.parent, ["photo"]) == "../media/pictures"
    assert root(tmp_path, ["photo", "sound"]) == "media"


def test_without_media_there_is_no_root() -> None:
    assert "root" not in document_of(table(size=SIZE, good=GOOD), "good")["data"]


def test_only_the_inputs_asked_for_are_taken_even_an_id() -> None:
    rows = table(id=[f"s{n}" for n in range(40)], size=SIZE, colour=["red", "blue"] * 20, good=GOOD)
    document = document_of(rows, "good", inputs=["colour", "id"])
    assert document["inputs"] == {"colour": "category", "id": "category"}
    assert "id" not in document["data"]


@pytest.mark.parametrize(
    ("tasks", "inputs", "message"),
    [
        (["god"], None, "there is no column 'god' for a task; did you mean 'good'?"),
        (["good"], ["siez"], "there is no column 'siez' for an input; did you mean 'size'?"),
        (["good"], ["good"], "asked for twice"),
        (["good", "good"], None, "asked for twice"),
        ([], None, "at least one column to predict"),
        (["blank"], None, "it is empty"),
        (["photo"], None, "write it by hand, `segmentation`"),
        (["review"], None, "write it by hand, `generation`"),
        (["good"], ["blank"], "can not be an input: it is empty"),
        (["day"], None, "no task answers with a datetime yet"),
    ],
)
def test_what_can_not_be_is_said_plainly(tasks: list[str], inputs: list[str] | None, message: str) -> None:
    rows = table(
        size=SIZE,
        blank=[None] * 40,
        photo=[f"{n}.png" for n in range(40)],
        review=[f"I bought it {n} days ago and like it" for n in range(40)],
        day=[f"2024-01-{n % 28 + 1:02d}" for n in range(40)],
        good=GOOD,
    )
    with pytest.raises(SpecError, match=message.replace("?", r"\?")):
        text_of(rows, *tasks, inputs=inputs)


def test_odd_names_survive() -> None:
    names = ["a: b", "yes", "0123", " spaced ", "under__score", "ümlaut", "#hash", "x\ny", "'", "null", "-", "*star"]
    rows = table(
        **{name: [n * (place + 2) % 37 + 0.5 for n in range(40)] for place, name in enumerate(names)}, good=GOOD
    )
    inputs = load(document_of(rows, "good")).inputs
    assert {spec.column or name for name, spec in inputs.items()} == set(names)


@given(st.text(min_size=1))
def test_quoted_text_reads_back(text: str) -> None:
    assert yaml.safe_load(f"{{{quoted(text)}: [{quoted(text)}]}}") == {text: [text]}


@pytest.mark.real
def test_av_digits(real_data: Path) -> None:
    path = real_data / "av_digits" / "table.csv"
    text = propose(read_table(path), path=path, folder=path.parent, tasks=["digit", "parity", "speaker"])
    document = yaml.safe_load(text)
    assert document["data"] == {"train": "table.csv", "split": "split", "id": "id", "root": ".."}
    assert document["inputs"] == {"image": "image", "audio": "audio"}
    assert document["tasks"] == {"digit": "multiclass", "parity": "binary", "speaker": "multiclass"}


@pytest.mark.real
def test_adult_census(real_data: Path) -> None:
    path = real_data / "adult_census" / "data.parquet"
    tasks = ["income-per-year", "marital-status", "education-num"]
    text = propose(read_table(path), path=path, folder=path.parent, tasks=tasks)
    document = yaml.safe_load(text)
    assert document["tasks"] == dict(zip(tasks, ["binary", "multiclass", "multiclass"], strict=True))
    assert "education" not in document["inputs"]
    assert "#   education: it names education-num one to one" in text
    assert document["inputs"]["age"] == "number"
    assert document["inputs"]["relationship"] == "category"
    assert document["data"]["split"] == "split"


@pytest.mark.real
def test_meld_text(real_data: Path) -> None:
    path = real_data / "meld_text" / "manifest.csv"
    document = yaml.safe_load(propose(read_table(path), path=path, folder=path.parent, tasks=["emotion", "sentiment"]))
    assert document["inputs"] == {
        "utterance": "text", "speaker": "category", "utterance_id": "category", "season": "number",
        "episode": "number", "previous_utterance": "text", "speaker_main": "category",
    }  # fmt: skip
    assert document["data"]["split"] == "split"
