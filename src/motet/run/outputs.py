"""What a run's model said of its scored rows, kept so that runs can be compared row by row without their models."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from motet.core.errors import BundleError
from motet.run.scored import Scored

OUTPUTS = "predictions/outputs.safetensors"
MOST_BYTES = 1 << 26
"""So much is kept of one task, 64 MiB: outputs for every pixel of many pictures would fill the disk."""
FORMAT = 1
_PARTS = ("output", "target", "labelled")
_WHOLE = (torch.int64, torch.int32)


@dataclass(frozen=True, slots=True)
class Said:
    """Output `[N, ...]` and target of one task on all N scored rows; `labelled [N]` says which rows have its label."""

    output: Tensor
    target: Tensor
    labelled: Tensor


@dataclass(frozen=True, slots=True)
class Outputs:
    """`rows [N]` are numbers of the rows of the table, whose content `table` names; `groups` that of each row's group.

    A task in `too_large` has more than `MOST_BYTES` of outputs, and these are not kept.
    """

    part: str
    table: str
    rows: Tensor
    groups: Tensor | None
    tasks: Mapping[str, Said]
    too_large: tuple[str, ...] = ()


def outputs_of(scored: Scored, *, most: int = MOST_BYTES) -> Outputs:
    """What is kept of a run's scored rows; tasks without a target of their own tensor are left out."""
    found = scored.found
    said = {
        task: Said(found.outputs[task], found.targets[task], found.labelled[task])
        for task in sorted(scored.fitted.tasks)
        if task in found.targets
    }
    large = tuple(task for task, one in said.items() if one.output.nbytes + one.target.nbytes > most)
    return Outputs(
        part=scored.part,
        table=scored.fitted.table.content_hash,
        rows=torch.as_tensor(scored.rows),
        groups=None if scored.groups is None else torch.as_tensor(scored.groups),
        tasks={task: one for task, one in said.items() if task not in large},
        too_large=large,
    )


def outputs_bytes(outputs: Outputs) -> bytes:
    """The content of the file: safetensors, whose one remark is JSON, so that equal outputs are equal bytes."""
    from safetensors.torch import save

    tensors = {f"{part}.{task}": getattr(one, part) for task, one in outputs.tasks.items() for part in _PARTS}
    tensors |= {"rows": outputs.rows} | ({} if outputs.groups is None else {"groups": outputs.groups})
    about = {
        "format": FORMAT,
        "part": outputs.part,
        "table": outputs.table,
        "tasks": sorted(outputs.tasks),
        "too_large": list(outputs.too_large),
    }
    own = {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    data: bytes = save(own, metadata={"about": json.dumps(about, ensure_ascii=False, sort_keys=True)})
    return data


def read_outputs(run: Path) -> Outputs:
    """The outputs of a finished run; raises `BundleError` where they are missing or damaged."""
    from safetensors import SafetensorError, safe_open

    path = run / OUTPUTS
    if not path.is_file():
        raise BundleError(f"{path}: missing; the run was scored by a motet that kept no outputs: train it again")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()["about"])
            if about["format"] != FORMAT:
                raise BundleError(f"{path}: written in format {about['format']}, this motet reads {FORMAT}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        found = Outputs(
            part=str(about["part"]),
            table=str(about["table"]),
            rows=tensors["rows"],
            groups=tensors.get("groups"),
            tasks={task: Said(*(tensors[f"{part}.{task}"] for part in _PARTS)) for task in about["tasks"]},
            too_large=tuple(map(str, about["too_large"])),
        )
    except (SafetensorError, OSError, AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"{path}: damaged; restore it from a copy") from None
    if mistake := _mistake(found):
        raise BundleError(f"{path}: damaged ({mistake}); restore it from a copy")
    return found


def _mistake(found: Outputs) -> str | None:
    """What does not fit together: shapes, lengths and types."""
    num = len(found.rows) if found.rows.dim() else -1
    numbers = {"rows": found.rows} | ({} if found.groups is None else {"groups": found.groups})
    for name, tensor in numbers.items():
        if tensor.dtype not in _WHOLE or tensor.shape != (num,):
            return f"{name} is not one whole number per row"
    for task, said in found.tasks.items():
        if said.labelled.dtype != torch.bool or said.labelled.shape != (num,):
            return f"labelled of {task} is not one yes or no per row"
        for name, tensor in (("output", said.output), ("target", said.target)):
            if tensor.dim() < 1 or len(tensor) != num:
                return f"{name} of {task} does not have the {num:,} rows that were scored"
    return None
