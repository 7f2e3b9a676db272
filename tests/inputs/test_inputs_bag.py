"""Several pictures in one row: read one by one, encoded one by one, in no order, and only those that are there."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image as Pillow
from torch import Tensor, nn

import motet
from motet.api import Run
from motet.core.errors import CellError, DataError, SpecError
from motet.core.flow import Cells, Place, Tokens
from motet.core.seed import generator
from motet.data import BadCells, cells_of, present_cells, read_cells, read_table
from motet.inputs import Encoder, Image
from motet.inputs.bag import BagEncoder, BagPreparation
from motet.model.columns import input_columns
from motet.model.presence import PresentOnly
from motet.nn import keys_of, row_keys, salt_dropouts
from motet.run.gallery import shower
from motet.run.prepare import fit_columns
from motet.testing import check_input

CHANCE = np.random.default_rng(0)
PICTURES = [CHANCE.integers(0, 256, size=(10, 8, 3), dtype=np.uint8) for _ in range(6)]
BAGS = [tuple(PICTURES[:3]), (PICTURES[3],), tuple(PICTURES[4:])]
SMALL = {"kind": "image", "first": 4, "width": 4}


def prepared(**fields: Any) -> tuple[BagPreparation, BagEncoder]:
    spec = Image(first=4, width=6, **fields)
    preparation = spec.fit(BAGS)
    torch.manual_seed(0)
    encoder = spec.build(preparation)
    salt_dropouts(encoder, 0)
    return preparation, encoder


def batched(preparation: BagPreparation, cells: Sequence[object]) -> dict[str, Tensor]:
    return preparation.batch([preparation.read(cell) for cell in cells])


class Counting(Encoder):
    """Notes how many parts it was given, and passes on their values."""

    def __init__(self) -> None:
        super().__init__()
        self.output_width, self.given = 2, list[int]()

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        self.given.append(len(values["x"]))
        mask = torch.ones(values["x"].shape[:2], dtype=torch.bool)
        return Tokens(values["x"], mask, mask[:, 0])


# --- the preparation


def test_the_suite_of_the_room() -> None:
    check_input(Image(first=4, width=6, flip=True), [*BAGS, *(tuple(PICTURES[n : n + 2]) for n in range(5))])


def test_a_picture_alone_is_a_bag_of_one_where_others_have_several() -> None:
    preparation, _ = prepared()
    assert np.array_equal(preparation.read(PICTURES[0]), preparation.read((PICTURES[0],)))
    assert isinstance(Image().fit(PICTURES), type(preparation.part))
    assert isinstance(Image(columns=("a", "b")).fit(PICTURES), BagPreparation)


def test_several_pictures_where_training_rows_have_one_are_refused() -> None:
    with pytest.raises(CellError, match="2 in one row, where every training row has one"):
        Image().fit(PICTURES).read(tuple(PICTURES[:2]))


def test_more_parts_than_a_model_reads_are_refused_before_any_is_decoded() -> None:
    with pytest.raises(CellError, match="65 in one row, of which a model reads 64 at most"):
        prepared()[0].read(("no picture",) * 65)


def test_parts_in_any_order_are_the_same_bag() -> None:
    preparation, _ = prepared()
    assert np.array_equal(preparation.read(BAGS[0]), preparation.read(BAGS[0][::-1]))


def test_a_batch_by_hand() -> None:
    preparation, _ = prepared()
    values = batched(preparation, BAGS)
    assert values["there"].tolist() == [[True, True, True], [True, False, False], [True, True, False]]
    for row, bag in enumerate(BAGS):
        ordered = sorted((preparation.part.read(picture) for picture in bag), key=np.ndarray.tobytes)
        torch.testing.assert_close(values["pixels"][row, : len(bag)], preparation.part.batch(ordered)["pixels"])
        assert bool((values["pixels"][row, len(bag) :] == 0).all())


def test_each_part_varies_by_itself() -> None:
    preparation = Image(crop=0.4, first=4).fit([(PICTURES[0], PICTURES[0])])
    item = preparation.read((PICTURES[0], PICTURES[0]))
    varied = [preparation.augment(item, generator(draw)) for draw in range(20)]
    assert any(not np.array_equal(first, second) for first, second in varied)
    pictures = [preparation.part.augment(part, chance) for chance in [generator(3)] for part in item]
    assert np.array_equal(varied[3], np.stack(pictures))


# --- the encoder


def test_every_part_is_encoded_as_it_is_alone() -> None:
    preparation, bag = prepared()
    values = batched(preparation, BAGS)
    tokens = bag.eval()(values)
    for row, cell in enumerate(BAGS):
        alone = [bag.encoder({"pixels": values["pixels"][row, place, None]}).values[0] for place in range(len(cell))]
        torch.testing.assert_close(tokens.values[row][tokens.mask[row]], torch.cat(alone))
    assert tokens.mask.sum(dim=1).tolist() == [3 * len(alone[0]), len(alone[0]), 2 * len(alone[0])]
    assert bag.output_grid is None


def test_only_what_is_there_is_encoded_all_of_it_at_once() -> None:
    counting = Counting()
    there = torch.tensor([[True, True, False], [True, False, False]])
    BagEncoder(counting)({"x": torch.zeros(2, 3, 1, 2), "there": there})
    BagEncoder(counting)({"x": torch.zeros(2, 3, 1, 2), "there": torch.ones(2, 3, dtype=torch.bool)})
    assert counting.given == [3, 6]


def test_parts_of_different_lengths_keep_their_own_masks() -> None:
    class Halves(Encoder):
        output_width = 1

        def forward(self, values: Mapping[str, Tensor]) -> Tokens:
            return Tokens(values["x"][:, :, None], values["mask"], torch.ones(len(values["x"]), dtype=torch.bool))

    x = torch.tensor([[[1.0, 9.0], [2.0, 3.0]], [[4.0, 5.0], [9.0, 9.0]]])
    mask = torch.tensor([[[True, False], [True, True]], [[True, True], [True, True]]])
    there = torch.tensor([[True, True], [True, False]])
    tokens = BagEncoder(Halves())({"x": x, "mask": mask, "there": there})
    assert [tokens.values[row, :, 0][tokens.mask[row]].tolist() for row in (0, 1)] == [[1, 2, 3], [4, 5]]
    assert tokens.values[~tokens.mask].abs().max() == 0


def test_the_pooled_answer_does_not_know_the_order() -> None:
    preparation, bag = prepared()
    values = batched(preparation, BAGS[:1] * 2)
    values["pixels"][1] = values["pixels"][1].flip(0)
    tokens = bag.eval()(values)
    assert not torch.allclose(tokens.values[0], tokens.values[1])
    torch.testing.assert_close(tokens.values[0].mean(dim=0), tokens.values[1].mean(dim=0), rtol=0, atol=1e-5)


def test_what_stands_where_no_part_is_changes_no_bit() -> None:
    preparation, bag = prepared()
    clean = batched(preparation, BAGS)
    filler = {"pixels": clean["pixels"].masked_fill(~clean["there"][:, :, None, None, None], float("nan"))}
    seen = []
    for values in (clean, clean | filler):
        tokens = bag(values)
        gradients = torch.autograd.grad(tokens.values.square().sum(), list(bag.parameters()))
        seen.append([tokens.values, tokens.mask, *gradients])
    assert all(torch.equal(one, other) for one, other in zip(*seen, strict=True))


def test_a_row_is_alone_in_training_too_and_its_parts_drop_apart() -> None:
    preparation, bag = prepared(dropout=0.5)
    bag.train().double()
    cells = [(PICTURES[0], PICTURES[0]), *BAGS]
    keys = keys_of(torch.arange(len(cells)), 0)

    def doubled(cells: Sequence[object]) -> dict[str, Tensor]:
        values = batched(preparation, cells)
        return values | {"pixels": values["pixels"].double()}

    with row_keys(keys):
        whole = bag(doubled(cells))
    for row, cell in enumerate(cells):
        with row_keys(keys[row : row + 1]):
            alone = bag(doubled([cell]))
        torch.testing.assert_close(
            whole.values[row][whole.mask[row]], alone.values[0][alone.mask[0]], atol=1e-6, rtol=0
        )
    first, second = whole.values[0][whole.mask[0]].chunk(2)
    assert not torch.allclose(first, second)


def test_rows_without_any_picture_are_not_encoded() -> None:
    preparation, bag = prepared()
    values, present = batched(preparation, BAGS), torch.tensor([True, False, True])
    tokens = PresentOnly(bag.eval())(Cells(values, present))
    expected = bag({name: value[present] for name, value in values.items()})
    torch.testing.assert_close(tokens.values[present], expected.values)
    assert tokens.mask[1].tolist() == [True] + [False] * (tokens.mask.shape[1] - 1)


def test_the_exported_graph_takes_any_number_of_rows_and_pictures() -> None:
    preparation, bag = prepared()

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = PresentOnly(bag.eval())

        def forward(self, pixels: Tensor, there: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
            tokens = self.inner(Cells({"pixels": pixels, "there": there}, present))
            return tokens.values, tokens.mask

    rows, parts = torch.export.Dim("rows", min=2), torch.export.Dim("parts", min=2)
    values, present = batched(preparation, BAGS), torch.tensor([True, False, True])
    given = (values["pixels"], values["there"], present)
    shapes = ({0: rows, 1: parts}, {0: rows, 1: parts}, {0: rows})
    program = torch.export.export(Plain(), given, dynamic_shapes=shapes)
    other = batched(preparation, [BAGS[2], BAGS[2], BAGS[1], BAGS[1]])
    present = torch.tensor([True, True, False, True])
    found, mask = program.module()(other["pixels"], other["there"], present)
    expected = PresentOnly(bag)(Cells(other, present))
    torch.testing.assert_close(found, expected.values)
    assert torch.equal(mask, expected.mask)


# --- the cells of a table


def paths(cell: Any) -> Any:
    return None if cell is None else list(zip(cell.parts, cell.labels, strict=True))


def test_columns_lists_and_text_give_the_parts_that_are_there_and_say_where_they_stand() -> None:
    rows = [
        {"a": "1.png", "b": "", "list": ["1.png", None, "3.png"], "text": "1.png | none|3.png"},
        {"a": None, "b": None, "list": [], "text": ""},
        {"a": "none", "b": "2.png", "list": None, "text": "1.png"},
    ]
    table, options = read_table(rows), {"rows": np.arange(3), "missing": ("none",), "separator": "|"}
    assert list(map(paths, cells_of(table, ("a", "b"), **options))) == [[("1.png", "a")], None, [("2.png", "b")]]
    first, second, third = cells_of(table, ("list",), **options)
    assert paths(first) == [("1.png", "list (1 of 3)"), ("3.png", "list (3 of 3)")]
    assert (second, third) == (None, None)
    first, second, third = cells_of(table, ("text",), **options)
    assert paths(first) == [("1.png", "text (1 of 3)"), ("3.png", "text (3 of 3)")]
    assert (second, third) == (None, "1.png")
    (first, *_) = cells_of(table, ("a", "text"), **options)
    assert [label for _, label in paths(first)] == ["a", "text (1 of 3)", "text (3 of 3)"]


def test_a_picture_written_as_lists_of_numbers_is_one_picture() -> None:
    (cell,) = cells_of(read_table([{"p": [[0, 9], [9, 0]]}]), ("p",), rows=np.arange(1), separator="|")
    assert cell == [[0, 9], [9, 0]]
    assert Image().fit([cell]).size == (2, 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, picture in enumerate(PICTURES):
        Pillow.fromarray(picture).save(tmp_path / f"{number}.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "0.png").read_bytes()[:60])
    return tmp_path


def problems(folder: Path, row: Mapping[str, Any], **fields: Any) -> tuple[list[str], int]:
    """The problems of one row beside a good one, and how many pictures are left of it where bad ones are skipped."""
    (folder / "rooms.jsonl").write_text(json.dumps(row) + "\n")
    spec = Image(size=(4, 4), channels=3, **fields)
    preparation = BagPreparation(part=spec.fit(PICTURES))
    columns = input_columns({"photos": (spec, preparation)})
    table = read_table(folder / "rooms.jsonl", name="rooms.jsonl")
    with pytest.raises(BadCells) as caught:
        read_cells(table, None, columns)
    store = read_cells(table, None, columns, on_bad_cell="skip", max_bad_fraction=1.0)
    column = store.columns["photos"]
    places = np.flatnonzero(column.present)
    return [str(problem) for problem in caught.value.problems], sum(map(len, column.take(places, places)))


def test_a_bad_picture_is_named_by_its_column_and_left_out_alone(folder: Path) -> None:
    row = {"front": "1.png", "back": "7.png", "garden": "torn.png", "street": "2.png"}
    lines, left = problems(folder, row, columns=("front", "back", "garden", "street"))
    assert lines[0].startswith("rooms.jsonl:1:back: no such file; did you mean '")
    assert lines[1] == "rooms.jsonl:1:garden: the picture is truncated: 'torn.png'"
    assert (len(lines), left) == (2, 2)


@pytest.mark.parametrize("cell", [["1.png", None, "torn.png"], "1.png||torn.png"])
def test_a_bad_picture_of_a_list_is_named_by_its_place(folder: Path, cell: Any) -> None:
    lines, left = problems(folder, {"photos": cell}, column="photos")
    assert lines == ["rooms.jsonl:1:photos (3 of 3): the picture is truncated: 'torn.png'"]
    assert left == 1


def test_fitting_passes_over_a_bad_path_and_not_its_bag(folder: Path) -> None:
    table = read_table([{"a": "1.png", "b": "7.png"}, {"a": "8.png", "b": "9.png"}], folder=folder)
    (bag,) = present_cells(table, Place(("a", "b"), media=True, separator="|"), np.arange(2))
    assert bag == (folder.resolve() / "1.png",)


def test_lists_of_paths_and_of_pictures_are_rows_too(folder: Path) -> None:
    pictures = [Pillow.open(folder / f"{number}.png") for number in (1, 2, 3)]
    rows = [{"p": pictures[:2]}, {"p": [pictures[2], None]}]
    spec = Image(size=(4, 4), channels=3)
    preparation = BagPreparation(part=spec.fit(PICTURES))
    for given in (rows, [{"p": [folder / "1.png", folder / "2.png"]}, {"p": [folder / "3.png"]}]):
        store = read_cells(read_table(given, folder=folder), None, input_columns({"p": (spec, preparation)}))
        items = store.columns["p"].take(np.arange(2), np.arange(2))
        assert np.array_equal(items[0], preparation.read((folder / "1.png", folder / "2.png")))
        assert np.array_equal(items[1], preparation.read((folder / "3.png",)))


def test_a_row_of_bad_pictures_alone_lacks_the_input(folder: Path) -> None:
    lines, left = problems(folder, {"a": "torn.png", "b": "../x.png"}, columns=("a", "b"))
    assert [line.split(":")[2] for line in lines] == ["b", "a"]  # paths first: none is opened before all are known
    assert left == 0


def test_a_picture_that_goes_bad_while_training_reads_it_again_is_named(folder: Path) -> None:
    (folder / "rooms.jsonl").write_text('{"a": "1.png", "b": "2.png"}\n')
    spec = Image(size=(4, 4), channels=3, columns=("a", "b"))
    columns = input_columns({"photos": (spec, spec.fit(PICTURES))})
    store = read_cells(read_table(folder / "rooms.jsonl"), None, columns, keep_bytes=0, remember=False)
    (folder / "2.png").unlink()
    with pytest.raises(DataError, match=r":b: no such file.*it could be read before"):
        store.columns["photos"].take(np.arange(1), np.arange(1))


def test_what_was_decoded_is_remembered_until_one_of_the_pictures_changes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTET_CACHE", str(folder / "cache"))
    (folder / "rooms.jsonl").write_text('{"photos": ["1.png", "2.png"]}\n')
    spec = Image(size=(4, 4), channels=3)
    columns = input_columns({"photos": (spec, BagPreparation(part=spec.fit(PICTURES)))})

    def read() -> np.ndarray:
        store = read_cells(read_table(folder / "rooms.jsonl"), None, columns)
        return store.columns["photos"].take(np.arange(1), np.arange(1))[0]

    first = read()
    assert np.array_equal(read(), first)
    Pillow.fromarray(PICTURES[5][:5]).save(folder / "2.png")
    assert not np.array_equal(read(), first)


# --- a house with four photos, end to end

SIDES = ("front", "back", "garden", "street")


def write_houses(folder: Path, *, num_rows: int = 40) -> list[dict[str, Any]]:
    """Every photo is bright in a house that is sold; each is absent in some rows, and all are in one."""
    chance = np.random.default_rng(1)
    houses = []
    for number in range(num_rows):
        house: dict[str, Any] = {"sold": ["no", "yes"][number % 2]}
        for place, side in enumerate(SIDES):
            pixels = chance.integers(0, 120, (8, 8), dtype=np.uint8) + np.uint8(120 * (number % 2))
            Pillow.fromarray(pixels).save(folder / f"{side}{number}.png")
            house[side] = "" if (number + place) % 5 == 0 or number == 7 else f"{side}{number}.png"
        houses.append(house)
    return houses


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def trained(folder: Path, table: Path, photos: Mapping[str, Any], **rooms: Any) -> Run:
    document = {
        "data": {"train": str(table), "valid": 0.2, "test": 0.2},
        "inputs": {"photos": photos},
        "tasks": {"sold": "binary"},
        "training": {"epochs": 15, "batch_size": 8, "learning_rate": 0.01},
    }
    return motet.fit(document | rooms, out=folder / "run")


@pytest.mark.parametrize("written", ["columns", "glob", "text", "list", "parquet"])
def test_houses_are_learned_from_their_photos_however_these_are_written(tmp_path: Path, written: str) -> None:
    houses = write_houses(tmp_path)
    albums = [{"sold": house["sold"], "photos": [house[side] for side in SIDES if house[side]]} for house in houses]
    if written in ("columns", "glob"):
        named = [{"sold": house["sold"]} | {f"photo_{side}": house[side] for side in SIDES} for house in houses]
        table = write_csv(tmp_path / "houses.csv", named)
        photos: dict[str, Any] = {"columns": "photo_*" if written == "glob" else [f"photo_{side}" for side in SIDES]}
    elif written == "text":
        joined = [{**album, "photos": ";".join(album["photos"])} for album in albums]
        table, photos = write_csv(tmp_path / "houses.csv", joined), {"separator": ";"}
    elif written == "list":
        table, photos = tmp_path / "houses.jsonl", {}
        table.write_text("\n".join(map(json.dumps, albums)))
    else:
        table, photos = tmp_path / "houses.parquet", {}
        pictures = [[(tmp_path / path).read_bytes() for path in album["photos"]] for album in albums]
        columns = {"sold": [album["sold"] for album in albums], "photos": pictures}
        pq.write_table(pa.table(columns), table)
    run = trained(tmp_path, table, SMALL | photos)
    assert run.report["sold"]["auroc"].value > 0.9
    report = json.loads((run.folder / "report.json").read_text())
    assert 0.8 <= report["inputs"]["photos"]["present_fraction"] <= 1
    assert len(run.model.predict(table)) == len(houses)


def test_the_report_shows_the_photos_that_are_there_under_their_columns(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "houses.csv", write_houses(tmp_path))
    document = {"data": str(table), "inputs": {"photos": SMALL | {"columns": list(SIDES)}}, "tasks": {"sold": "binary"}}
    show = shower(fit_columns(motet.Experiment(**document), base=tmp_path))
    assert [(cell.input, cell.kind) for cell in show(0)] == [(side, "picture") for side in SIDES[1:]]
    assert show(7) == []
    (tmp_path / "back0.png").write_bytes(b"no picture")
    assert [cell.input for cell in show(0)] == ["garden", "street"]


@pytest.fixture(scope="module")
def sold(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("sold")
    table = write_csv(folder / "houses.csv", write_houses(folder))
    return trained(folder, table, SMALL | {"columns": list(SIDES)})


def house(sold: Run, number: int, sides: Sequence[str] = SIDES) -> dict[str, str]:
    return {side: f"{side}{number}.png" if side in sides else "" for side in SIDES}


def probability(sold: Run, row: Mapping[str, Any]) -> float:
    (answer,) = sold.model.predict([row], root=sold.folder.parent)
    return float(answer["sold__probability"])


@pytest.fixture(autouse=True)
def _beside_the_houses(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "sold" in request.fixturenames:
        monkeypatch.chdir(request.getfixturevalue("sold").folder.parent)


def test_an_absent_photo_is_just_not_in_the_bag(sold: Run) -> None:
    whole, fewer = house(sold, 3), house(sold, 3, ["front", "back", "street"])
    assert probability(sold, whole) != probability(sold, fewer)
    without_column = {side: path for side, path in fewer.items() if side != "garden"}
    assert probability(sold, without_column) == probability(sold, fewer)
    assert sold.model.unseen(list(without_column)) == [
        "input 'photos' is in part absent in every row: there is no column 'garden'"
    ]
    assert sold.model.unseen(["sold"])[0].startswith("input 'photos' is absent in every row")


def test_photos_in_other_columns_are_the_same_bag(sold: Run) -> None:
    row = house(sold, 3)
    turned = dict(zip(SIDES, list(row.values())[::-1], strict=True))
    assert probability(sold, turned) == probability(sold, row)


def test_batch_mates_with_more_photos_change_nothing(sold: Run) -> None:
    rows = [house(sold, 1, ["front"]), house(sold, 2), house(sold, 3, ["back", "street"]), dict.fromkeys(SIDES, "")]
    together = sold.model.predict(rows, root=sold.folder.parent)
    for row, answer in zip(rows[:3], together, strict=False):
        assert probability(sold, row) == pytest.approx(answer["sold__probability"], abs=1e-5)


def test_workers_hand_bags_over_as_they_are(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "houses.csv", write_houses(tmp_path))
    weights = []
    for workers in (0, 1):
        training = {"epochs": 2, "batch_size": 8, "workers": workers}
        run = trained(tmp_path / str(workers), table, SMALL | {"columns": list(SIDES)}, training=training)
        weights.append((run.folder / "bundle" / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_a_photo_and_an_album_may_share_their_encoder(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "houses.csv", write_houses(tmp_path))
    inputs = {
        "front": SMALL,
        "others": {"kind": "image", "columns": list(SIDES[1:]), "share": "front"},
    }
    run = trained(tmp_path, table, {}, inputs=inputs)
    encoders = {name for name in run.model.network.state_dict() if "project.weight" in name and "encoder" in name}
    assert len(encoders) == 1
    assert run.report["sold"]["auroc"].value > 0.9


def test_check_names_the_columns(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "houses.csv", write_houses(tmp_path))
    document = {"data": str(table), "inputs": {"photos": SMALL | {"columns": list(SIDES)}}, "tasks": {"sold": "binary"}}
    checked = motet.check(document)
    assert "input  photos  image of front, back, garden, street" in checked.summary
    assert checked.problems == ()
    (tmp_path / "garden6.png").write_bytes(b"no picture")
    (problem,) = motet.check(document).problems
    assert "houses.csv:8:garden: not a picture" in problem


def test_init_takes_a_column_of_albums_for_pictures_and_finds_their_folder(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    rows = []
    for house in write_houses(tmp_path / "photos"):
        rows.append({"sold": house["sold"], "album": "|".join(f"photos/{house[s]}" for s in SIDES if house[s])})
    written = motet.init(write_csv(tmp_path / "houses.csv", rows), tasks=["sold"], output=tmp_path / "first.yaml")
    assert "  album: image" in written.read_text()
    assert "  root: photos" in written.read_text()
    assert motet.check(written).problems == ()


@pytest.mark.parametrize("kind", ["audio", "text"])
def test_other_kinds_read_one_column_and_name_the_alternative(kind: str) -> None:
    rows = [{"one": "a", "two": "b", "sold": number % 2} for number in range(20)]
    for columns in (["one", "two"], "?[nw]?"):
        document = {
            "data": rows,
            "inputs": {"both": {"kind": kind, "columns": columns}},
            "tasks": {"sold": "binary"},
        }
        with pytest.raises(SpecError, match=rf"inputs\.both\.columns: {kind} reads one column, found one, two.*share"):
            motet.check(document)
