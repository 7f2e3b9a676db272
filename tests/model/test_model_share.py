"""Inputs that share: one preparation, one encoder, saved and trained once; their own columns, absences and chance."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import motet
from motet import balance, fusion, inputs, sharing, tasks
from motet.core.errors import BundleError, DataError, SpecError
from motet.core.flow import Batch, Cells
from motet.inputs.base import InputSpec
from motet.model import Network, assemble
from motet.model.export import export, flat
from motet.model.share import owners
from motet.nn.keyed import keys_of
from motet.training import TrainingSpec, build_optimizer, train_step
from motet.training.average import WeightAverage

SPEC = inputs.Vector(width=6, dropout=0.5, drop=0.0)
FITTED = SPEC.fit([[0.0, 1.0, 2.0], [2.0, 5.0, 3.0]])
THERE = torch.ones(4, dtype=torch.bool)


def network(*, shared: bool = True, seed: int = 3, **others: InputSpec) -> Network:
    """`back` and `front`, two vectors, with one encoder unless told otherwise; one task."""
    back = SPEC.model_copy(update={"share": "front"}) if shared else SPEC
    given: dict[str, InputSpec] = {"back": back, "front": SPEC, **others}
    label = tasks.Binary()
    return assemble(
        inputs={name: (spec, FITTED) for name, spec in given.items()},
        tasks={"sold": (label, label.fit(["no", "yes"]))},
        fusion=fusion.Concat(width=4),
        sharing=sharing.Hard(width=4, dropout=0.0),
        task_balance=balance.Fixed(),
        modality_balance=balance.NoThrottle(),
        seed=seed,
    )


def vectors(*, seed: int = 0, there: Tensor = THERE) -> Cells:
    return Cells({"vector": torch.randn(len(there), 3, generator=torch.Generator().manual_seed(seed))}, there)


def batch(**cells: Cells) -> Batch:
    given = {"back": vectors(seed=1), "front": vectors(seed=2)} | cells
    return Batch(given, {"sold": Cells({"target": torch.tensor([0.0, 1.0, 1.0, 0.0])}, THERE)}, torch.arange(4))


# --- one encoder


def test_the_same_cell_gives_the_same_tokens_and_each_parameter_is_there_once() -> None:
    net, apart = network().eval(), network(shared=False)
    cells = vectors()
    tokens = net.encode({"back": cells, "front": cells})
    assert torch.equal(tokens["back"].values, tokens["front"].values)
    names = list(net.state_dict())
    assert not [name for name in names if name.startswith("encoders.back.") and name != "encoders.back.absent"]
    pointers = [tensor.data_ptr() for tensor in net.state_dict().values()]
    assert len(set(pointers)) == len(pointers)
    encoder = sum(parameter.numel() for parameter in net.encoders["front"].encoder.parameters())
    assert count(apart) - count(net) == encoder > 0


def count(net: Network) -> int:
    return sum(tensor.numel() for tensor in net.state_dict().values())


def test_the_owner_begins_as_it_would_alone_wherever_its_name_stands() -> None:
    assert torch.equal(weight(network()), weight(network(zither=SPEC)))
    moved = network(a=SPEC.model_copy(update={"share": "front"}))
    assert torch.equal(weight(network()), weight(moved))


def weight(net: Network) -> Tensor:
    return net.encoders["front"].encoder.mlp.layers[0].weight.detach()


def test_each_has_its_own_absent_token() -> None:
    net = network().eval()
    with torch.no_grad():
        net.encoders["back"].absent.fill_(1.0)
        net.encoders["front"].absent.fill_(2.0)
    gone = vectors(there=~THERE)
    tokens = net.encode({"back": gone, "front": gone})
    assert tokens["back"].values.unique().tolist() == [1.0]
    assert tokens["front"].values.unique().tolist() == [2.0]


def test_what_is_absent_in_one_is_encoded_in_the_other() -> None:
    there, poison = torch.tensor([True, False, True, False]), torch.full((4, 3), torch.nan)
    net, cells = network().eval(), vectors()
    tokens = net.encode({"back": Cells({"vector": poison}, ~THERE), "front": Cells(cells.values, there)})
    whole = net.encode({"back": cells, "front": cells})
    torch.testing.assert_close(tokens["front"].values[there], whole["front"].values[there])
    assert tokens["back"].values.isfinite().all()


# --- one gradient, one step, one average


def test_the_gradient_is_the_sum_of_what_both_send() -> None:
    net, keys = network(), keys_of(torch.arange(4), 0)
    gradients = []
    for names in (("back", "front"), ("back",), ("front",)):
        net.zero_grad()
        tokens = net.encode(batch().inputs, keys)
        torch.stack([tokens[name].values.square().sum() for name in names]).sum().backward()
        gradients.append(net.encoders["front"].encoder.mlp.layers[0].weight.grad.clone())
    torch.testing.assert_close(gradients[0], gradients[1] + gradients[2])
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_optimizer_and_average_know_each_parameter_once() -> None:
    net = network()
    optimizer = build_optimizer(net, TrainingSpec(learning_rate=0.1, batch_size=4, epochs=1))
    known = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert len(known) == len(set(known))
    average = WeightAverage(net, decay=0.5)
    assert not [name for name in average.tensors() if "lent" in name or name.startswith("encoders.back.encoder")]
    before = weight(net).clone()
    train_step(net, optimizer, [batch()], priorities={"sold": 1.0}, seed=0, step=0)
    average.update(step=0)
    after = weight(net).clone()
    assert not torch.equal(before, after)
    with average.applied():
        fresh = 0.9  # decay of the first step: (1 + 0) / (10 + 0)
        torch.testing.assert_close(weight(net), before + fresh * (after - before))
        same = vectors()
        tokens = net.eval().encode({"back": same, "front": same})
        assert torch.equal(tokens["back"].values, tokens["front"].values)


def test_a_throttle_is_told_of_the_owners_parameters_for_both() -> None:
    found = network().encoder_parameters()
    assert [id(one) for one in found["back"]] == [id(one) for one in found["front"]]
    apart = network(shared=False).encoder_parameters()
    assert not {id(one) for one in apart["back"]} & {id(one) for one in apart["front"]}


# --- chance


def test_two_photos_of_a_row_share_no_dropout_mask() -> None:
    net, cells, keys = network().train(), vectors(), keys_of(torch.arange(4), 0)
    tokens = net.encode({"back": cells, "front": cells}, keys)
    assert not torch.isclose(tokens["back"].values, tokens["front"].values).all()
    apart = network(shared=False).train()
    apart.encoders["front"].load_state_dict(net.encoders["front"].state_dict())
    alone = apart.encode({"back": cells, "front": cells}, keys)
    assert torch.equal(tokens["front"].values, alone["front"].values), "the owner draws as if nobody shared"
    again = net.encode({"back": cells, "front": vectors(seed=9)}, keys)
    assert torch.equal(tokens["back"].values, again["back"].values), "what one draws depends on the other"


def test_each_is_dropped_at_its_own_rate() -> None:
    spec = SPEC.model_copy(update={"share": "front", "drop": 0.5})
    net, rows = network(side=spec).train(), 400
    cells = vectors(there=torch.ones(rows, dtype=torch.bool))
    tokens = net.encode(dict.fromkeys(("back", "front", "side"), cells), keys_of(torch.arange(rows), 0))
    gone = {name: int((~one.present).sum()) for name, one in tokens.items()}
    assert gone["back"] == gone["front"] == 0
    assert 150 < gone["side"] < 250


# --- from the table to the bundle and back

ROWS = [
    {
        "a": index % 7,
        "b": 100 + index % 5,
        "c": index % 3,
        "sold": ["no", "yes"][index % 2],
        "word": "so la"[: index % 5],
    }
    for index in range(60)
]


def document(**more: Any) -> dict[str, Any]:
    front = {"kind": "number", "column": "a", "width": 4, "bins": 2}
    back = {"kind": "number", "column": "b", "share": "front", "drop": 0.3} | more
    return {
        "data": ROWS,
        "inputs": {"back": back, "front": front},
        "tasks": {"sold": "binary"},
        "fusion": {"kind": "concat", "width": 4},
        "training": {"epochs": 2},
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return motet.fit(document(), out=tmp_path_factory.mktemp("share") / "run")


def test_a_preparation_is_fitted_to_the_cells_of_all_who_share_it(run: Any) -> None:
    specs = {name: spec for name, (spec, _) in run.model.inputs.items()}
    fitted = {name: preparation for name, (_, preparation) in run.model.inputs.items()}
    assert fitted["back"] is fitted["front"]
    assert fitted["front"].edges[0] == 0
    assert fitted["front"].edges[-1] == 104
    assert (specs["back"].width, specs["back"].bins) == (4, 2)
    assert (specs["back"].column, specs["back"].drop, specs["back"].share) == ("b", 0.3, "front")


def test_the_bundle_holds_the_weights_once_and_answers_as_the_run(run: Any) -> None:
    from safetensors.torch import load_file

    weights = load_file(run.folder / "bundle" / "weights.safetensors")
    assert [name for name in weights if "embedding.weight" in name] == ["encoders.front.encoder.embedding.weight"]
    loaded = motet.load(run.folder)
    assert loaded.predict(ROWS[:9]) == run.model.predict(ROWS[:9])
    assert loaded.network.encoders["back"].encoder.lent[0] is loaded.network.encoders["front"].encoder


def test_a_resolved_experiment_is_one_that_can_be_run_again(run: Any, tmp_path: Path) -> None:
    import yaml

    resolved = yaml.safe_load((run.folder / "experiment.yaml").read_text())
    again = motet.fit({**resolved, "data": ROWS}, out=tmp_path / "again")
    read = [folder / "bundle" / "weights.safetensors" for folder in (run.folder, again.folder)]
    assert read[0].read_bytes() == read[1].read_bytes()


def test_a_bundle_whose_inputs_share_in_vain_is_refused(run: Any, tmp_path: Path) -> None:
    from motet.artifact import read_folder, write_folder

    files = read_folder(run.folder / "bundle")
    for share in ("frnt", "back"):
        whole = json.loads(files["bundle.json"])
        whole["model"]["inputs"]["back"]["share"] = share
        write_folder(tmp_path / "it", files | {"bundle.json": json.dumps(whole).encode()})
        with pytest.raises(BundleError, match=r"inputs\.back\.share"):
            motet.load(tmp_path / "it")


def test_an_input_that_shares_needs_cells_of_its_own(tmp_path: Path) -> None:
    rows = [row | {"b": None} for row in ROWS]
    with pytest.raises(DataError, match=r"inputs\.back \(column 'b'\): no training row has it"):
        motet.fit(document() | {"data": rows}, out=tmp_path / "run")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`front0.png` and `back0.png` to 23, the latter twice as large."""
    from PIL import Image

    folder, chance = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for name, side in (("front", 10), ("back", 20)):
        for index in range(24):
            Image.fromarray(chance.integers(0, 255, (side, side), dtype=np.uint8)).save(folder / f"{name}{index}.png")
    return folder


def of_pictures(folder: Path, rows: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    return {
        "data": {"train": rows, "root": str(folder)},
        "inputs": {
            "front": {"kind": "image", "first": 4, "width": 4, **fields},
            "back": {"kind": "image", "share": "front"},
        },
        "tasks": {"sold": "binary"},
        "training": {"epochs": 1},
    }


def test_pictures_of_two_columns_are_one_size(pictures: Path, tmp_path: Path) -> None:
    rows = [
        {
            "front": str(pictures / f"front{index}.png"),
            "back": str(pictures / f"back{index}.png") if index % 3 else None,
            "sold": index % 2,
        }
        for index in range(24)
    ]
    made = motet.fit(of_pictures(pictures, rows), out=tmp_path / "run")
    sizes = {name: spec.size for name, (spec, _) in made.model.inputs.items()}
    assert sizes["front"] == sizes["back"]
    assert 10 <= sizes["front"][0] <= 20
    assert len(made.model.predict(rows[:3])) == 3


def test_cells_are_read_as_the_owner_says(pictures: Path, tmp_path: Path) -> None:
    """Where the owner's cells are divided by a semicolon, so are those of an input that shares."""
    rows = [
        {
            "front": str(pictures / f"front{index}.png"),
            "back": ";".join(str(pictures / f"back{(index + more) % 24}.png") for more in range(1 + index % 2)),
            "sold": index % 2,
        }
        for index in range(24)
    ]
    made = motet.fit(of_pictures(pictures, rows, separator=";"), out=tmp_path / "run")
    specs = [spec for spec, _ in made.model.inputs.values()]
    assert [spec.separator for spec in specs] == [";", ";"]
    assert len(motet.load(made.folder).predict(rows[:3])) == 3


# --- what is refused

AGE, WORD = inputs.Number(), inputs.Text()


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ({"a": AGE, "b": inputs.Number(share="ab")}, r"inputs\.b\.share: there is no input 'ab'; did you mean 'a'\?"),
        ({"a": AGE, "b": inputs.Number(share="zzz")}, r"there is no input 'zzz'; choose from a"),
        ({"a": AGE, "b": inputs.Number(share="b")}, r"inputs\.b\.share: 'b' is this input itself.*choose from a"),
        ({"a": AGE, "w": WORD, "b": inputs.Number(share="w")}, r"'w' is of kind text, this input of kind number.*a"),
        (
            {"a": AGE, "b": inputs.Number(share="a"), "c": inputs.Number(share="b")},
            r"inputs\.c\.share: 'b' has no encoder of its own, it shares that of 'a'; choose from a",
        ),
        (
            {"a": AGE, "b": inputs.Number(share="a", width=7)},
            r"inputs\.b\.width: found 7, but the encoder is that of 'a', where it is .*may set column",
        ),
        (
            {"w": inputs.Text(encoder={"kind": "gru"}), "v": inputs.Text(share="w", encoder={"kind": "transformer"})},
            r"inputs\.v\.encoder: found TransformerLayers",
        ),
    ],
)
def test_what_can_not_be_shared_is_refused(specs: Mapping[str, InputSpec], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        owners(specs)


def test_what_an_input_that_shares_may_say_for_itself() -> None:
    own = {"column": "x", "missing": ["?"], "drop": 0.4, "drop_rise": 0.5, "share": "a"}
    given = {"a": inputs.Number(width=5), "b": inputs.Number(**own), "c": inputs.Number(share="a", width=5)}
    assert owners(given) == {"a": "a", "b": "a", "c": "a"}


def test_it_is_refused_before_any_table_is_read(tmp_path: Path) -> None:
    wrong = document(share="frnt") | {"data": str(tmp_path / "nowhere.csv")}
    with pytest.raises(SpecError, match=r"inputs\.back\.share: there is no input 'frnt'; did you mean 'front'\?"):
        motet.fit(wrong, out=tmp_path / "run")
    with pytest.raises(SpecError, match=r"inputs\.back\.share"):
        network(back=SPEC.model_copy(update={"share": "frnt"}))


# --- as a graph


def test_a_network_that_shares_is_exported_with_its_weights_once() -> None:
    net = network().eval()
    program = export(net, batch().inputs)
    names = [name for name in program.state_dict if "encoders" in name and "absent" not in name]
    assert names
    assert not [name for name in names if "front" not in name]
    there = torch.tensor([True, False, True, True])
    given = {"back": vectors(seed=5, there=there), "front": vectors(seed=6, there=~there)}
    with torch.no_grad():
        torch.testing.assert_close(program.module()(*flat(given).values())["sold"], net(given)["sold"].output)
