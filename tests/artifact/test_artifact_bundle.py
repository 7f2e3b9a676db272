"""The bundle: plain JSON and tensors, of a format that is checked."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from motet.artifact import FORMAT, Bundle, read_bundle, read_folder, write_bundle, write_folder
from motet.core.errors import BundleError


def bundle() -> Bundle:
    return Bundle(
        model={"inputs": {"größe": {"kind": "number"}}},
        preparations={"größe": {"centre": 1 / 3}},
        codecs={"sold": {"positive": "yes"}},
        facts={"id": None},
        weights={
            "a.b": torch.arange(6.0).reshape(2, 3),
            "flags": torch.tensor([True, False]),
            "count": torch.tensor(3),
        },
    )


def rewritten(folder: Path, **changes: Any) -> None:
    """The bundle with other files, its hashes in order."""
    write_folder(folder, read_folder(folder) | {name.replace("_", "."): data for name, data in changes.items()})


def test_what_is_written_is_read_bit_for_bit(tmp_path: Path) -> None:
    one = bundle()
    write_bundle(tmp_path / "it", one)
    other = read_bundle(tmp_path / "it")
    assert (other.model, other.preparations, other.codecs, other.facts) == (
        one.model, one.preparations, one.codecs, one.facts,
    )  # fmt: skip
    assert other.weights.keys() == one.weights.keys()
    for name, tensor in one.weights.items():
        assert torch.equal(other.weights[name], tensor)
        assert other.weights[name].dtype == tensor.dtype


def test_tensors_may_be_views_of_one_another(tmp_path: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    weights = {"turned": whole.T, "row": whole[1], "parameter": torch.nn.Parameter(whole)}
    write_bundle(tmp_path / "it", Bundle({}, {}, {}, {}, weights))
    read = read_bundle(tmp_path / "it").weights
    for name, tensor in weights.items():
        assert torch.equal(read[name], tensor)


def test_equal_bundles_are_equal_bytes_without_times_or_paths(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_bundle(tmp_path / name, bundle())
    assert read_folder(tmp_path / "a") == read_folder(tmp_path / "b")
    assert sorted(read_folder(tmp_path / "a")) == ["bundle.json", "weights.safetensors"]
    assert str(tmp_path).encode() not in b"".join(read_folder(tmp_path / "a").values())


def test_another_format_is_refused_by_number(tmp_path: Path) -> None:
    write_bundle(tmp_path / "it", bundle())
    document = json.loads(read_folder(tmp_path / "it")["bundle.json"]) | {"format": FORMAT + 1, "model": "unknown here"}
    rewritten(tmp_path / "it", bundle_json=json.dumps(document).encode())
    with pytest.raises(BundleError, match=f"format {FORMAT + 1}, this motet reads {FORMAT}"):
        read_bundle(tmp_path / "it")


@pytest.mark.parametrize(
    "changes",
    [
        {"bundle_json": b"{"},
        {"bundle_json": b"[]"},
        {"bundle_json": b'{"format": 1}'},
        {"bundle_json": b'{"format": 1, "model": 3, "preparations": {}, "codecs": {}, "facts": {}}'},
        {"bundle_json": b"\xff\xfe"},
        {"bundle_json": b"[" * 100_000},
        {"weights_safetensors": b""},
        {"weights_safetensors": b"\xff" * 64},
        {"weights_safetensors": pickle.dumps({"a": [1.0]})},
    ],
)
def test_content_of_another_shape_is_refused(tmp_path: Path, changes: dict[str, bytes]) -> None:
    write_bundle(tmp_path / "it", bundle())
    rewritten(tmp_path / "it", **changes)
    with pytest.raises(BundleError):
        read_bundle(tmp_path / "it")


def test_a_missing_part_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path / "it", bundle())
    files = read_folder(tmp_path / "it")
    for name in files:
        write_folder(tmp_path / "it", {other: data for other, data in files.items() if other != name})
        with pytest.raises(BundleError, match="not a bundle of motet"):
            read_bundle(tmp_path / "it")
    with pytest.raises(BundleError, match="there is no bundle"):
        read_bundle(tmp_path / "nowhere")


def test_numbers_that_are_not_finite_never_reach_the_document(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_bundle(tmp_path / "it", Bundle({}, {"a": {"mean": float("nan")}}, {}, {}, {}))
    assert not (tmp_path / "it").exists()


def test_no_pickle_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bundle(tmp_path / "it", bundle())

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("pickle was used")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refused)
    monkeypatch.setattr(torch, "load", refused)
    assert read_bundle(tmp_path / "it").facts == {"id": None}
