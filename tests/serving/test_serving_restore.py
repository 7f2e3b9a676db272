"""A bundle from a stranger: its hashes may be in order and its content still anything."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import motet
from motet.artifact import read_bundle, read_folder, write_folder
from motet.core.errors import BundleError, MotetError
from motet.serving import Predictor, restore

ROWS = [{"age": index, "word": ["so", "la"][index % 2], "sold": ["no", "yes"][index % 2]} for index in range(40)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("restored")
    motet.fit(
        {
            "data": ROWS,
            "inputs": {"age": {"kind": "number", "bins": 2, "width": 4}, "word": {"kind": "category", "width": 4}},
            "tasks": {"sold": "binary"},
            "fusion": {"kind": "weighted", "width": 4},
            "training": {"epochs": 1},
        },
        out=folder / "run",
    )
    return read_folder(folder / "run" / "bundle")


def load(folder: Path, files: dict[str, bytes], document: Any) -> Predictor:
    write_folder(folder, files | {"bundle.json": json.dumps(document).encode()})
    return Predictor.load(folder)


def leaves(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    children = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for name, child in children:
        yield from leaves(child, (*path, name))


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(document))
    inner = copy
    for name in path[:-1]:
        inner = inner[name]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return copy


@pytest.mark.filterwarnings(
    "ignore"
)  # numbers that make no sense, such as two equal edges, give answers that make none
@pytest.mark.parametrize("value", [..., None, -1, 0, 2.5, "nonsense", [], {}, True, [[]], {"kind": "number"}], ids=repr)
def test_whatever_stands_anywhere_it_is_read_or_refused(files: dict[str, bytes], tmp_path: Path, value: Any) -> None:
    """Never another error than `BundleError` on loading, nor than motet's own on answering."""
    document = json.loads(files["bundle.json"])
    refused = 0
    for path in leaves(document):
        try:
            model = load(tmp_path / "it", files, changed(document, path, value))
        except BundleError:
            refused += 1
            continue
        except Exception as error:
            raise AssertionError(f"{path} = {value!r}: {type(error).__name__}: {error}") from error
        try:
            model.predict(ROWS[:2])
        except MotetError:
            pass
        except Exception as error:
            raise AssertionError(f"{path} = {value!r}, on answering: {type(error).__name__}: {error}") from error
    assert refused > 10


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("model", "inputs", "age", "kind"), "numbre", "inputs|age|number"),
        (("model", "fusion", "kind"), "os.system", "os.system"),
        (("model", "tasks", "sold", "kind"), "__import__", "__import__"),
        (("preparations", "age"), ..., "age"),
        (("codecs", "sold", "positive"), ..., "positive"),
        (("model", "sharing", "width"), 5, "size mismatch|fit together"),
    ],
)
def test_what_does_not_fit_is_named(
    files: dict[str, bytes], tmp_path: Path, path: tuple[Any, ...], value: Any, message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        load(tmp_path / "it", files, changed(json.loads(files["bundle.json"]), path, value))


def test_weights_that_are_missing_left_over_or_of_another_shape_are_refused(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    from safetensors.torch import load as tensors_of
    from safetensors.torch import save

    weights = tensors_of(files["weights.safetensors"])
    name = next(name for name in weights if name.startswith("heads"))
    for broken in (
        {other: tensor for other, tensor in weights.items() if other != name},
        weights | {"stranger": torch.zeros(1)},
        weights | {name: torch.zeros(7)},
    ):
        write_folder(tmp_path / "it", files | {"weights.safetensors": save(broken)})
        with pytest.raises(BundleError, match="do not fit together"):
            Predictor.load(tmp_path / "it")


def test_restoring_draws_nothing_from_the_global_stream(files: dict[str, bytes], tmp_path: Path) -> None:
    write_folder(tmp_path / "it", files)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    restored = restore(read_bundle(tmp_path / "it"))
    assert torch.equal(torch.get_rng_state(), before)
    assert not restored.network.training


def test_a_folder_without_a_bundle_says_so(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="expected"):
        motet.load(tmp_path / "nowhere")
    with pytest.raises(BundleError, match="manifest"):
        motet.load(tmp_path)
