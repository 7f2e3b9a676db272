"""What a person gets wrong: one clear error, the right exit code, no traceback, and nothing lost or half-written."""

import csv
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

Command = Callable[..., tuple[int, str, str]]
Spoil = Callable[[Path], None]
PLAIN = {
    "inputs": {"note": {"kind": "text", "vocabulary": 280, "width": 8}, "age": "number", "shop": "category"},
    "tasks": {"bought": "binary", "price": "regression"},
}


@dataclass(frozen=True)
class Fault:
    """What is done to a good folder, the command that meets it, and what the error must say."""

    spoil: Spoil
    says: Sequence[str]
    words: Sequence[str] = ("train", "experiment.yaml")
    code: int = 2


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shop_template: Path) -> Path:
    """A fresh copy of a good folder with a finished run, and the current folder of the command."""
    folder = tmp_path / "work"
    shutil.copytree(shop_template, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def shop_template(
    tmp_path_factory: pytest.TempPathFactory, make_shop: Callable[..., Path], write_experiment: Callable[..., Path]
) -> Path:
    import motet

    folder = tmp_path_factory.mktemp("shop")
    os.environ["MOTET_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    make_shop(folder)
    write_experiment(folder, name="media.yaml", inputs={"photo": "image", "tone": "audio", "el": PLACES})
    motet.fit(write_experiment(folder, **PLAIN), out=folder / "runs" / "good")
    return folder


PLACES = {"kind": "vector", "columns": "el_*"}


def edit(path: str, **fields: object) -> Spoil:
    """Change fields of experiment.yaml: `edit("inputs", age="numbre")`, `edit("training.epochs", ...)`."""

    def spoil(folder: Path) -> None:
        file = folder / "experiment.yaml"
        document = yaml.safe_load(file.read_text())
        place = document
        for name in path.split(".") if path else []:
            place = place.setdefault(name, {})
        place.update(fields)
        file.write_text(yaml.safe_dump(document, sort_keys=False))

    return spoil


def cells(column: str, change: Callable[[int, str], str], *, table: str = "shop.csv") -> Spoil:
    """Rewrite one column of the table; `change(row in the file, cell)`."""

    def spoil(folder: Path) -> None:
        with (folder / table).open(newline="") as file:
            header, *rows = csv.reader(file)
        at = header.index(column)
        for number, row in enumerate(rows, start=2):
            row[at] = change(number, row[at])
        with (folder / table).open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])

    return spoil


def at_row(number: int, cell: str) -> Callable[[int, str], str]:
    return lambda row, old: cell if row == number else old


def file(name: str, data: bytes) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)

    return spoil


def both(*spoils: Spoil) -> Spoil:
    def spoil(folder: Path) -> None:
        for one in spoils:
            one(folder)

    return spoil


def truncate(pattern: str, *, keep: float = 0.5) -> Spoil:
    def spoil(folder: Path) -> None:
        found = sorted(folder.glob(pattern))
        assert found, pattern
        for path in found:
            path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])

    return spoil


def flip(pattern: str) -> Spoil:
    """Change one byte in the middle of each file."""

    def spoil(folder: Path) -> None:
        found = sorted(folder.glob(pattern))
        assert found, pattern
        for path in found:
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 0xFF
            path.write_bytes(bytes(data))

    return spoil


def remove(pattern: str) -> Spoil:
    def spoil(folder: Path) -> None:
        found = sorted(folder.glob(pattern))
        assert found, pattern
        for path in found:
            path.unlink()

    return spoil


def nothing(folder: Path) -> None:
    pass


def rename(column: str, new: str, *, table: str = "shop.csv") -> Spoil:
    def spoil(folder: Path) -> None:
        header, rest = (folder / table).read_text().split("\n", 1)
        (folder / table).write_text(",".join(new if one == column else one for one in header.split(",")) + "\n" + rest)

    return spoil


MEDIA = ("train", "media.yaml")
PREDICT = ("predict", "runs/good", "--data", "new.csv", "-o", "out.csv")

FAULTS: dict[str, Fault] = {
    # the experiment file
    "no experiment": Fault(remove("experiment.yaml"), ["experiment.yaml", "no such file", "media.yaml"]),
    "experiment is a folder": Fault(nothing, ["runs: ", "experiment", "directory"], ("train", "runs")),
    "experiment is not YAML": Fault(file("experiment.yaml", b"data: [a\ntasks: }"), ["experiment.yaml:2:", "not YAML"]),
    "experiment is a list": Fault(file("experiment.yaml", b"- a\n- b\n"), ["experiment.yaml", "mapping", "['a', 'b']"]),
    "experiment is empty": Fault(
        file("experiment.yaml", b""), ["experiment.yaml", "mapping with data, inputs and tasks", "found nothing"]
    ),
    "experiment is not text": Fault(file("experiment.yaml", b"\xff\xfe\x00"), ["experiment.yaml", "UTF-8"]),
    "key twice": Fault(
        file("experiment.yaml", b"data: a.csv\ndata: b.csv\n"), ["experiment.yaml:2", "'data'", "twice"]
    ),
    "misspelt paragraph": Fault(edit("", fusoin="concat"), ["'fusoin'", "did you mean 'fusion'"]),
    "misspelt field": Fault(edit("training", epocs=3), ["training.epocs", "did you mean 'epochs'"]),
    "misspelt field of an input": Fault(
        edit("inputs", age={"kind": "number", "widht": 3}), ["inputs.age.widht", "'width'"]
    ),
    "misspelt kind": Fault(edit("inputs", age="nubmer"), ["inputs.age.kind", "'nubmer'", "did you mean 'number'"]),
    "kind of another room": Fault(edit("tasks", price="number"), ["tasks.price.kind", "'number' is not a task"]),
    "out of range": Fault(edit("training", epochs=0), ["training.epochs", "at least 1 or 'auto'", "found 0"]),
    "wrong type in a field": Fault(
        edit("training", learning_rate="fast"), ["training.learning_rate", "a number or 'auto'", "found 'fast'"]
    ),
    "width and heads": Fault(
        edit("inputs", note={"kind": "text", "width": 9, "encoder": "transformer"}),
        ["inputs.note", "4 heads", "width 9"],
    ),
    "weights of no stream": Fault(
        edit("", fusion={"kind": "late", "weights": {"ag": 1, "note": 1, "shop": 1}}),
        ["fusion.weights", "'ag'", "did you mean 'age'"],
    ),
    "weights of no task": Fault(
        edit("", balance={"tasks": {"kind": "fixed", "weights": {"pric": 1}}}),
        ["balance.tasks.weights", "'pric'", "did you mean 'price'"],
    ),
    "unknown metric": Fault(
        edit("tasks", price={"kind": "regression", "metric": "auroc"}), ["tasks.price.metric", "'auroc'", "r2, mae"]
    ),
    "unknown device": Fault(edit("training", device="gpu"), ["training.device", "'gpu'", "cuda"]),
    "no held-out rows": Fault(edit("data", valid=None, test=None), ["data", "neither valid nor test", "0.1"]),
    "double underscore in a name": Fault(
        edit("inputs", a__b={"kind": "number", "column": "age"}), ["inputs", "'a__b'", "double underscore"]
    ),
    "several columns for two labels": Fault(
        edit("tasks", bought={"kind": "binary", "columns": ["bought", "age"]}), ["tasks.bought", "one `column`"]
    ),
    "a column that is given and asked for": Fault(
        edit("tasks", price={"kind": "regression", "columns": ["price", "age"]}), ["tasks.price", "inputs.age"]
    ),
    "no inputs": Fault(edit("", inputs={}), ["inputs", "at least one"]),
    "no tasks at all": Fault(edit("", tasks=None), ["tasks", "mapping"]),
    # --set
    "--set without =": Fault(
        nothing, ["--set", "'training.epochs'", "PATH=VALUE"], ("train", "experiment.yaml", "--set", "training.epochs")
    ),
    "--set on an empty file": Fault(
        file("experiment.yaml", b""),
        ["expected a mapping with data, inputs and tasks"],
        ("train", "experiment.yaml", "--set", "fusion=late"),
    ),
    "--set on a list": Fault(
        file("experiment.yaml", b"- a\n"),
        ["expected a mapping with data, inputs and tasks"],
        ("train", "experiment.yaml", "--set", "training.epochs=1"),
    ),
    "check --set": Fault(nothing, ["fusion.kind", "'gatd'"], ("check", "experiment.yaml", "--set", "fusion=gatd")),
    "--set misspelt": Fault(
        nothing, ["training.epocs", "did you mean 'epochs'"], ("train", "experiment.yaml", "--set", "training.epocs=3")
    ),
    "--set no value": Fault(
        nothing, ["--set", "not a value"], ("train", "experiment.yaml", "--set", "training.epochs=[3")
    ),
    "--set wrong type": Fault(
        nothing,
        ["training.epochs", "whole number", "found 'many'"],
        ("train", "experiment.yaml", "--set", "training.epochs=many"),
    ),
    "--set into nothing": Fault(
        nothing, ["fusion.kind", "'gatd'"], ("train", "experiment.yaml", "--set", "fusion=gatd")
    ),
    # the table
    "no table": Fault(remove("shop.csv"), ["shop.csv", "no such file"]),
    "misspelt table": Fault(edit("data", train="shpo.csv"), ["shpo.csv", "no such file", "did you mean 'shop.csv'"]),
    "empty table": Fault(file("shop.csv", b""), ["shop.csv", "the file is empty"]),
    "header alone": Fault(file("shop.csv", b"note,age,shop,bought,price\n"), ["shop.csv", "header but no rows"]),
    "duplicate header": Fault(rename("id", "age"), ["shop.csv:1", "'age' names more than one column"]),
    "ragged row": Fault(
        file("shop.csv", b"note,age,shop,bought,price\na,1,x,yes,2\nb,2\n"),
        ["shop.csv:3", "expected 5 cells", "found 2"],
    ),
    "unknown suffix": Fault(edit("data", train="shop.xlsx"), ["shop.xlsx", "no"]),
    "not a parquet": Fault(
        both(file("t.parquet", b"PAR1xxxx"), edit("data", train="t.parquet")), ["t.parquet", "Parquet"]
    ),
    "missing column": Fault(rename("age", "agee"), ["inputs.age.column", "'age'", "did you mean 'agee'"]),
    "missing label column": Fault(rename("price", "prise"), ["tasks.price.column", "did you mean 'prise'"]),
    "missing split column": Fault(edit("data", split="spilt"), ["data.split", "'spilt'"]),
    "glob without match": Fault(
        edit("inputs", el={"kind": "vector", "columns": "emb_*"}), ["inputs.el.columns", "'emb_*'"]
    ),
    "too few rows": Fault(
        file("shop.csv", b"note,age,shop,bought,price\na,1,x,yes,2\n"), ["shop.csv", "no rows are left for training"]
    ),
    "input is the answer": Fault(
        edit("inputs", given={"kind": "number", "column": "price"}), ["tasks.price", "inputs.given"]
    ),
    "held-out fraction": Fault(edit("data", valid=1.5), ["data.valid", "between 0 and 1", "1.5"]),
    # cells
    "text in a number column": Fault(cells("age", at_row(9, "about forty")), ["shop.csv:9:age", "about forty"]),
    "only text in a number column": Fault(
        cells("age", lambda row, old: "old"), ["inputs.age (column 'age')", "no cell", "not a number", "'old'"]
    ),
    "all cells absent": Fault(cells("age", lambda row, old: ""), ["inputs.age", "'age'", "no training row has it"]),
    "no labels": Fault(cells("price", lambda row, old: ""), ["tasks.price", "no training row has a number as label"]),
    "no classes": Fault(cells("bought", lambda row, old: ""), ["tasks.bought", "no training row has a label"]),
    "one class": Fault(cells("bought", lambda row, old: "yes"), ["tasks.bought", "'yes'", "nothing to learn"]),
    "three classes in a binary task": Fault(cells("bought", at_row(3, "maybe")), ["bought", "'maybe'"]),
    "NaN target": Fault(cells("price", at_row(5, "NaN")), ["shop.csv:5:price", "NaN"]),
    "infinite target": Fault(cells("price", at_row(5, "inf")), ["shop.csv:5:price", "inf"]),
    "huge target": Fault(cells("price", at_row(5, "1e400")), ["shop.csv:5:price", "1e400"]),
    "text as a target": Fault(cells("price", at_row(5, "dear")), ["shop.csv:5:price", "dear"]),
    # media
    "no such picture": Fault(
        cells("photo", at_row(2, "media/none.png")), ["shop.csv:2:photo", "media/none.png"], MEDIA
    ),
    "truncated picture": Fault(truncate("media/1.png"), ["shop.csv:3:photo", "media/1.png"], MEDIA),
    "text as a picture": Fault(file("media/1.png", b"hello"), ["shop.csv:3:photo", "picture"], MEDIA),
    "empty picture": Fault(file("media/1.png", b""), ["shop.csv:3:photo", "empty"], MEDIA),
    "zero-length sound": Fault(file("media/1.wav", b""), ["shop.csv:3:tone", "empty"], MEDIA),
    "truncated sound": Fault(truncate("media/1.wav", keep=0.02), ["shop.csv:3:tone"], MEDIA),
    "path out of the root": Fault(
        cells("photo", at_row(4, "../../etc/passwd")), ["shop.csv:4:photo", "out of the root", "`root`"], MEDIA
    ),
    "absolute path out of the root": Fault(
        cells("photo", at_row(4, "/etc/passwd")), ["shop.csv:4:photo", "out of the root", "`root`"], MEDIA
    ),
    "hole in a vector": Fault(cells("el_1", at_row(6, "")), ["shop.csv:6:", "number 2 is absent"], MEDIA),
    "no picture at all": Fault(
        cells("photo", lambda row, old: "x.png"), ["inputs.photo", "names a file that is there"], MEDIA
    ),
    "no picture can be read": Fault(
        cells("photo", lambda row, old: "shop.csv"), ["inputs.photo", "not a picture"], MEDIA
    ),
    "text in a vector": Fault(cells("el_1", at_row(6, "x")), ["shop.csv:6:", "'x'"], MEDIA),
    # run folders, bundles, predictions
    "run exists": Fault(
        nothing,
        ["runs/good", "holds a run already", "--resume", "--out"],
        ("train", "experiment.yaml", "--out", "runs/good"),
    ),
    "out is a file": Fault(
        file("runs/afile", b"mine"),
        ["runs/afile", "is a file", "--out"],
        ("train", "experiment.yaml", "--out", "runs/afile"),
    ),
    "resume of another experiment": Fault(
        both(edit("training", seed=7), remove("runs/good/report.json")),
        ["another experiment", "training.seed"],
        ("train", "experiment.yaml", "--out", "runs/good", "--resume"),
    ),
    "no run": Fault(
        nothing,
        ["runs/none", "there is no bundle", "finished run"],
        ("predict", "runs/none", "--data", "shop.csv", "-o", "out.csv"),
    ),
    "no report": Fault(
        remove("runs/good/report.json"), ["report.json", "not finished", "--resume"], ("evaluate", "runs/good")
    ),
    "damaged report": Fault(truncate("runs/good/report.json"), ["report.json", "damaged"], ("evaluate", "runs/good")),
    "truncated bundle": Fault(
        truncate("runs/good/bundle/weights.safetensors"),
        ["weights.safetensors", "bytes expected"],
        ("evaluate", "runs/good", "--data", "shop.csv"),
    ),
    "changed weights": Fault(
        flip("runs/good/bundle/weights.safetensors"),
        ["weights.safetensors", "changed"],
        ("evaluate", "runs/good", "--data", "shop.csv"),
    ),
    "changed bundle": Fault(
        flip("runs/good/bundle/bundle.json"),
        ["bundle.json", "changed"],
        ("evaluate", "runs/good", "--data", "shop.csv"),
    ),
    "no manifest": Fault(
        remove("runs/good/bundle/manifest.json"), ["manifest.json"], ("evaluate", "runs/good", "--data", "shop.csv")
    ),
    "damaged manifest": Fault(
        truncate("runs/good/bundle/manifest.json"),
        ["manifest.json", "damaged"],
        ("evaluate", "runs/good", "--data", "shop.csv"),
    ),
    "table without labels": Fault(
        file("new.csv", b"age,shop\n3,north\n"),
        ["new.csv", "no task has its labels", "bought, price"],
        ("evaluate", "runs/good", "--data", "new.csv"),
    ),
    "unseen label": Fault(
        cells("bought", at_row(5, "perhaps")),
        ["shop.csv:5:bought", "perhaps"],
        ("evaluate", "runs/good", "--data", "shop.csv"),
    ),
    "none of the inputs": Fault(
        file("new.csv", b"colour,size\nred,3\n"), ["new.csv", "none of", "note, age, shop"], PREDICT
    ),
    "text in a number to answer": Fault(file("new.csv", b"age\n41\nforty\n"), ["new.csv:3:age", "forty"], PREDICT),
    "no rows to answer": Fault(file("new.csv", b"age\n"), ["new.csv", "no rows"], PREDICT),
    "no table to answer": Fault(nothing, ["new.csv", "no such file"], PREDICT),
    "output exists": Fault(
        file("out.csv", b"mine"),
        ["out.csv", "--force"],
        ("predict", "runs/good", "--data", "shop.csv", "-o", "out.csv"),
    ),
    "output suffix": Fault(
        nothing,
        ["out.xlsx", ".csv, .parquet, .jsonl"],
        ("predict", "runs/good", "--data", "shop.csv", "-o", "out.xlsx"),
    ),
    "output without suffix": Fault(
        nothing, ["answers", ".csv"], ("predict", "runs/good", "--data", "shop.csv", "-o", "answers")
    ),
    "output in no folder": Fault(
        nothing, ["none/out.csv", "no folder"], ("predict", "runs/good", "--data", "shop.csv", "-o", "none/out.csv")
    ),
    "root is no folder": Fault(edit("data", root="nowhere"), ["data.root", "nowhere", "not a folder"]),
    # the command itself
    "unknown command": Fault(nothing, ["trian"], ("trian", "experiment.yaml")),
    "unknown option": Fault(nothing, ["--epochs"], ("train", "experiment.yaml", "--epochs", "3")),
    "argument left out": Fault(nothing, ["Missing argument", "experiment"], ("train",)),
    "unknown room": Fault(nothing, ["'imputs'", "did you mean 'inputs'"], ("list", "imputs")),
    "init: unknown task": Fault(
        nothing, ["'prise'", "did you mean 'price'"], ("init", "shop.csv", "--task", "prise", "-o", "new.yaml")
    ),
    "init: unknown input": Fault(
        nothing,
        ["'aeg'", "did you mean 'age'"],
        ("init", "shop.csv", "--task", "price", "--input", "aeg", "-o", "new.yaml"),
    ),
    "init: file exists": Fault(nothing, ["experiment.yaml", "--force"], ("init", "shop.csv", "--task", "price")),
    "init: no table": Fault(
        nothing, ["shpo.csv", "did you mean 'shop.csv'"], ("init", "shpo.csv", "--task", "price", "-o", "new.yaml")
    ),
    "report of no run": Fault(nothing, ["runs/none", "there is no run"], ("report", "runs/none")),
}


@pytest.mark.parametrize("name", FAULTS)
def test_one_clear_error(name: str, shop: Path, motet_command: Command) -> None:
    fault = FAULTS[name]
    fault.spoil(shop)
    before = content(shop)
    code, out, err = motet_command(*fault.words)
    print(f"{err}", end="")
    assert code == fault.code, err
    for text in fault.says:
        assert text in err, err
    assert "Traceback" not in err
    assert "fault of motet" not in err
    assert len([line for line in err.splitlines() if line.startswith(("error", "Error"))]) == 1
    assert out == ""
    assert content(shop) == before


def content(folder: Path) -> dict[str, str]:
    """Every file and folder, and what is in it."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }


TROUBLE = {
    "age": at_row(9, "about forty"),
    "price": at_row(5, "NaN"),
    "photo": at_row(4, "../../etc/passwd"),
    "tone": at_row(7, "none.wav"),
}


def test_check_lists_every_problem_in_one_line_each(
    shop: Path, motet_command: Command, write_experiment: Callable[..., Path]
) -> None:
    write_experiment(shop, name="all.yaml")
    both(*(cells(column, change) for column, change in TROUBLE.items()), truncate("media/1.png"))(shop)
    before = content(shop)
    code, out, err = motet_command("check", "all.yaml")
    assert code == 2
    assert err.startswith(f"{len(out.splitlines())} cells can not be read")
    places = [line.split(": ")[0] for line in out.splitlines()]
    assert sorted(places) == [
        "shop.csv:3:photo",
        "shop.csv:4:photo",
        "shop.csv:5:price",
        "shop.csv:7:tone",
        "shop.csv:9:age",
    ]
    assert content(shop) == before


def test_skip_takes_bad_cells_as_absent_and_says_so(shop: Path, motet_command: Command) -> None:
    both(cells("age", at_row(9, "forty")), cells("price", at_row(5, "inf")))(shop)
    skipping = ("--set", "data.on_bad_cell=skip")
    code, _, err = motet_command("train", "experiment.yaml", "--out", "runs/skip", *skipping)
    assert code == 0, err
    assert "skipped: shop.csv:9:age" in err
    assert "skipped: shop.csv:5:price" in err
    both(cells("age", at_row(9, "")), cells("price", at_row(5, "")))(shop)
    assert motet_command("train", "experiment.yaml", "--out", "runs/empty", *skipping)[0] == 0
    assert (shop / "runs/skip/log.jsonl").read_bytes() == (shop / "runs/empty/log.jsonl").read_bytes()


def test_skip_has_a_limit(shop: Path, motet_command: Command) -> None:
    cells("age", lambda row, old: "old" if row % 3 == 0 else old)(shop)
    code, _, err = motet_command(
        "train", "experiment.yaml", "--set", "data.on_bad_cell=skip", "--set", "data.max_bad_fraction=0.2"
    )
    assert code == 2
    assert "of 'age' can not be read" in err
    assert "data.max_bad_fraction (0.2)" in err
    assert not (shop / "runs" / "experiment").exists()


def test_a_category_never_seen_is_answered(shop: Path, motet_command: Command) -> None:
    (shop / "new.csv").write_text("age,shop,note\n41,moon,good\n41,mars,good\n41,north,good\n")
    assert motet_command(*PREDICT)[0] == 0
    with (shop / "out.csv").open(newline="") as file:
        moon, mars, north = csv.DictReader(file)
    assert float(moon["price"]) == pytest.approx(float(mars["price"]), rel=1e-5)  # kernels round by place
    assert float(moon["price"]) != pytest.approx(float(north["price"]), rel=1e-5)


def test_the_advice_on_bad_cells_fits_the_command(shop: Path, motet_command: Command) -> None:
    cells("age", at_row(9, "forty"))(shop)
    assert "data.on_bad_cell" in motet_command("train", "experiment.yaml")[2]
    asked = motet_command("predict", "runs/good", "--data", "shop.csv", "-o", "out.csv")[2]
    assert "leave them empty" in asked
    assert "data.on_bad_cell" not in asked


# --- a run that stopped, and checkpoints that are damaged


@pytest.fixture
def stopped(shop: Path, motet_command: Command, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with two checkpoints and no report yet: what is left when the machine went down at the very end."""
    monkeypatch.setattr("motet.training.loop.LONGEST_GAP", -1.0)
    run = shop / "runs" / "stopped"
    assert motet_command("train", "experiment.yaml", "--out", run)[0] == 0
    for name in ("report.json", "report.html"):
        (run / name).unlink()
    shutil.rmtree(run / "bundle")
    shutil.rmtree(run / "predictions")
    assert len(list((run / "checkpoints").iterdir())) == 2
    return run


@pytest.mark.parametrize("damage", [truncate, flip, remove])
@pytest.mark.parametrize("name", ["weights.safetensors", "optimizer.safetensors", "state.json", "manifest.json"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    damage: Callable[[str], Spoil], name: str, stopped: Path, shop: Path, motet_command: Command
) -> None:
    newest = sorted((stopped / "checkpoints").iterdir())[-1]
    damage(name)(newest)
    code, _, err = motet_command("train", "experiment.yaml", "--out", stopped, "--resume")
    assert code == 0, err
    assert err.count("warning: ") == 1
    assert str(newest) in err
    assert "the checkpoint before it" in err
    weights = "bundle/weights.safetensors"
    assert (stopped / weights).read_bytes() == (shop / "runs/good" / weights).read_bytes()


def test_damaged_checkpoints_alone_are_an_error_and_nothing_is_deleted(stopped: Path, motet_command: Command) -> None:
    both(truncate("checkpoints/*/weights.safetensors"))(stopped)
    before = content(stopped)
    code, out, err = motet_command("train", "experiment.yaml", "--out", stopped, "--resume")
    assert (code, out) == (2, "")
    assert "no checkpoint of this run is whole" in err
    assert all(str(one) in err for one in (stopped / "checkpoints").iterdir())
    assert "Traceback" not in err
    assert content(stopped) == before


def test_a_model_that_diverged_is_not_handed_over(shop: Path, motet_command: Command) -> None:
    code, out, err = motet_command(
        "train", "experiment.yaml", "--out", "runs/wild", "--set", "training.learning_rate=1e30"
    )
    assert (code, out) == (1, "")
    assert "not finite" in err
    assert "training.learning_rate" in err
    assert not (shop / "runs/wild/bundle").exists()
    assert not (shop / "runs/wild/report.json").exists()


# --- a full disk


def fail_sync(monkeypatch: pytest.MonkeyPatch, *, after: int) -> list[int]:
    """The disk is full from the sync after the first `after` on; the list counts the syncs."""
    whole, calls = os.fsync, [0]

    def fsync(handle: int) -> None:
        calls[0] += 1
        if calls[0] > after:
            raise OSError(28, "No space left on device")
        whole(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    return calls


def test_a_full_disk_at_any_moment_leaves_a_run_that_can_go_on(
    shop: Path, motet_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, run = "bundle/weights.safetensors", shop / "runs/full"
    edit("", inputs={"age": "number"}, tasks={"price": "regression"})(shop)
    with monkeypatch.context() as patch:
        calls = fail_sync(patch, after=10**9)
        assert motet_command("train", "experiment.yaml", "--out", "runs/counted")[0] == 0
    for after in range(calls[0]):
        shutil.rmtree(run, ignore_errors=True)
        with monkeypatch.context() as patch:
            fail_sync(patch, after=after)
            code, out, err = motet_command("train", "experiment.yaml", "--out", run)
        said = [line for line in err.splitlines() if line.startswith("error")]
        assert (code, out, len(said)) == (1, "", 1), (after, err)
        assert str(run) in said[0]
        assert "could not write" in said[0]
        assert "bytes: No space left on device" in said[0]
        assert "Traceback" not in err
        assert not list(run.rglob("*.partial"))
        assert not (run / "report.json").exists() or after == calls[0] - 1
        code, _, err = motet_command("train", "experiment.yaml", "--out", run, "--resume")
        assert code == 0, (after, err)
        assert (run / weights).read_bytes() == (shop / "runs/counted" / weights).read_bytes()


def test_a_full_disk_keeps_the_former_predictions(
    shop: Path, motet_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shop / "out.csv").write_text("mine")
    before = content(shop)
    fail_sync(monkeypatch, after=0)
    code, _, err = motet_command("predict", "runs/good", "--data", "shop.csv", "-o", "out.csv", "--force")
    assert code == 1
    assert "out.csv: could not write" in err
    assert content(shop) == before


# --- the same through a real process


@pytest.mark.parametrize("name", ["misspelt kind", "text in a number column"])
def test_a_process_says_the_same(name: str, shop: Path) -> None:
    fault = FAULTS[name]
    fault.spoil(shop)
    done = subprocess.run(
        [sys.executable, "-m", "motet.cli", *fault.words], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (fault.code, "")
    assert done.stderr.count("error: ") == 1
    for text in fault.says:
        assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(shop: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "motet.cli", "predict", "runs/none", "--data", "x.csv", "-o", "y.csv", "--debug"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "BundleError" in done.stderr
