"""Specs and what was fitted for them -> Network, with every joint checked once."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from motet.balance import Junction
from motet.balance.base import BalancerSpec, ThrottleSpec
from motet.core.errors import SpecError
from motet.core.seed import key
from motet.fusion.base import Fusion, FusionSpec
from motet.inputs.base import Encoder, InputSpec, Preparation
from motet.model.network import Network
from motet.model.parts import PartHeads
from motet.model.presence import Drop, PresentOnly
from motet.model.share import Borrowed, owners
from motet.nn.dropout import salt_dropouts
from motet.nn.prior import Prior
from motet.sharing.base import SharingSpec
from motet.tasks.base import Codec, TaskSpec
from motet.tasks.part import PartTask, Source
from motet.tasks.row import Head, RowTask
from motet.tasks.rules import Rule

MOST_DROP, DROPPED_PER_ROW = 0.1, 0.2


def assemble(
    *,
    inputs: Mapping[str, tuple[InputSpec, Preparation]],
    tasks: Mapping[str, tuple[TaskSpec, Codec]],
    fusion: FusionSpec,
    sharing: SharingSpec,
    task_balance: BalancerSpec,
    modality_balance: ThrottleSpec,
    seed: int = 0,
) -> Network:
    """The network, initialised from `seed` alone: the order in which inputs and tasks are named does not matter."""
    if not inputs or not tasks:
        raise SpecError("an experiment needs at least one input and one task")
    names, jobs = sorted(inputs), sorted(tasks)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(seed, "weights"))
        encoders = {name: PresentOnly(encoder) for name, encoder in _encoders(inputs).items()}
        widths = {name: encoder.output_width for name, encoder in encoders.items()}
        grids = {name: grid for name in names if (grid := encoders[name].encoder.output_grid) is not None}
        operator = fusion.build(widths, grids=grids)
        shared = {stream: sharing.build(operator.output_width, tasks=jobs) for stream in sorted(operator.streams)}
        width = next(iter(shared.values())).output_width
        rows = {job: (spec, tasks[job][1]) for job in jobs if isinstance(spec := tasks[job][0], RowTask)}
        parts = {job: (spec, tasks[job][1]) for job in jobs if isinstance(spec := tasks[job][0], PartTask)}
        throttle = modality_balance.build(widths, tasks=_classes(rows, modality_balance))
        junction = Junction(task_balance, tasks=jobs, seed=seed)
        _check_place(junction, modality_balance, fans_out=all(one.fans_out for one in shared.values()))
        junction.watch.at = "parameters" if modality_balance.kind == "none" else "layer"
        network = Network(
            encoders=encoders,
            throttle=throttle,
            fusion=operator,
            sharing=shared,
            junction=junction,
            heads={job: {stream: _head(job, task, width) for stream in shared} for job, task in rows.items()},
            parts=_part_heads(parts, width, encoders, inputs, operator),
            rules={job: _rule(job, task, operator, width) for job, task in rows.items()},
            priors={job: Prior(task.output_shape(codec)) for job, (task, codec) in rows.items()},
            singles={
                job: {name: task.probe(codec, widths[name]) for name in names} for job, (task, codec) in rows.items()
            }
            if throttle.uses_singles
            else {},
            tasks={task: tasks[task][0] for task in jobs},
            drop={name: _drop(inputs[name][0], num_inputs=len(names)) for name in names},
        )
    salt_dropouts(network, seed)
    return network


def drop_rate(spec: InputSpec, *, num_inputs: int) -> float:
    """The rate of modality dropout. "auto" takes about a fifth of an input from each training row, so that every absent
    token is learned, however many inputs there are; with one input there is nothing to fall back on, and it is 0.
    """
    if spec.drop == "auto":
        return min(MOST_DROP, round(DROPPED_PER_ROW / num_inputs, 4)) if num_inputs > 1 else 0.0
    return spec.drop


def _check_place(junction: Junction, modality_balance: ThrottleSpec, *, fans_out: bool) -> None:
    at, needs = junction.balancer.placement.at, junction.balancer.needs
    if not fans_out and (needs == "elements" or at in ("features", "layer")):
        raise SpecError(
            f"balance.tasks: gradients can not be compared at {junction.place!r} with this way of "
            "sharing, because tasks meet in more than one place; use at: parameters, or another method or sharing"
        )
    if junction.place == "parameters" and modality_balance.kind != "none":
        raise SpecError(
            "balance.tasks.at: 'parameters' passes each task's gradient through the encoders by itself, which "
            f"balance.modalities ({modality_balance.kind}) would take for the step's; use features or layer, or "
            "modalities: none"
        )


def _drop(spec: InputSpec, *, num_inputs: int) -> Drop:
    return Drop(drop_rate(spec, num_inputs=num_inputs), rise=spec.drop_rise)


def _encoders(inputs: Mapping[str, tuple[InputSpec, Preparation]]) -> dict[str, Encoder]:
    """An encoder for each input, sorted by name; those that share one borrow it of its owner."""
    owner = owners({name: spec for name, (spec, _) in inputs.items()})
    built = {name: inputs[name][0].build(inputs[name][1]) for name in sorted(set(owner.values()))}
    return {name: built[name] if name in built else Borrowed(built[owner[name]], name=name) for name in sorted(inputs)}


def _head(name: str, task: tuple[RowTask, Codec], width: int) -> Head:
    spec, codec = task
    with _about(name):
        return spec.build(codec, width)


def _probes(task: tuple[RowTask, Codec], widths: Mapping[str, int]) -> dict[str, Head]:
    """A small head for each input by itself."""
    spec, codec = task
    return {name: spec.probe(codec, widths[name]) for name in sorted(widths)}


def _part_heads(
    tasks: Mapping[str, tuple[PartTask, Codec]],
    width: int,
    encoders: Mapping[str, PresentOnly],
    inputs: Mapping[str, tuple[InputSpec, Preparation]],
    operator: Fusion,
) -> PartHeads:
    """The heads of tasks that read parts; the encoders they read keep what they tell beside their tokens."""
    heads = {}
    for name, (spec, codec) in tasks.items():
        sources = {}
        for one in spec.reads:
            encoders[one].keeps_parts = True
            own = spec.own_tokens or not operator.contextual
            encoder = encoders[one].encoder
            sources[one] = Source(
                width=encoder.output_width if own else operator.output_width,
                reader=inputs[one][1],
                maps=encoder.output_maps,
                grid=encoder.output_grid,
            )
        with _about(name):
            heads[name] = spec.build(codec, width, sources)
    return PartHeads(heads, {name: spec for name, (spec, _) in tasks.items()})


@contextmanager
def _about(task: str) -> Iterator[None]:
    """Errors say which task they are about."""
    try:
        yield
    except SpecError as error:
        raise SpecError(f"tasks.{task}: {error}") from error


def _rule(name: str, task: tuple[RowTask, Codec], operator: Fusion, width: int) -> Rule:
    spec, codec = task
    with _about(name):
        return spec.rule(operator.rule, codec, streams=sorted(operator.streams), width=width)


def _classes(tasks: Mapping[str, tuple[RowTask, Codec]], modality_balance: ThrottleSpec) -> dict[str, int | None]:
    if not tasks and modality_balance.kind != "none":
        raise SpecError(
            f"balance.modalities: {modality_balance.kind} judges inputs by tasks that decide about rows, and there is "
            "none; use modalities: none"
        )
    return {task: spec.num_classes(codec) for task, (spec, codec) in sorted(tasks.items())}
