"""What a training starts from (`training.init_from`): another run's bundle, and what of it is taken for which input.

An encoder and the preparation its weights were learned with go together: a tokenizer fitted anew would give its words
other numbers, and what was learned of them would mean nothing. So both are taken, or neither.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from motet.artifact import Bundle, read_bundle, write_bundle
from motet.core.checks import did_you_mean
from motet.core.component import Frozen
from motet.core.errors import BundleError, SpecError
from motet.inputs.base import OF_TRAINING, InputSpec, Preparation
from motet.model.share import OWN_FIELDS, owners
from motet.serving.restore import Restored, restore
from motet.training.spec import InitFrom

WHERE = "training.init_from"
KEPT = "init_from"
"""The copy of the bundle in the folder of a run that is not finished: to resume, the source is not needed."""


@dataclass(frozen=True)
class Start:
    """A model to start from; `inputs` says by the name of an input here, that of the one there."""

    bundle: Bundle
    source: Restored
    inputs: Mapping[str, str]
    run: str

    def known(self, specs: Mapping[str, InputSpec]) -> dict[str, tuple[InputSpec, Preparation]]:
        """For each input that is taken its Spec, as it was there but for `OF_TRAINING`, and what was fitted there.

        Raises `SpecError` for a field of these inputs that says otherwise than the model that is taken.
        """
        found = {}
        for here, there in self.inputs.items():
            theirs = self.source.inputs[there][0]
            for field, mine, other in _differing(specs[here].portable(), theirs):
                raise SpecError(
                    f"inputs.{here}.{field}: found {mine!r}, but expected {other!r}, as {there!r} is in {self.run}, "
                    f"which {WHERE} takes it from; leave the field out, or leave this input out by "
                    f"{WHERE}: {{run: ..., inputs: {{...}}}}, which names those that are taken"
                )
            spec = _merged(specs[here], theirs)
            preparation = spec.trained_as(self.source.inputs[there][1])
            found[here] = spec.resolved(preparation), preparation
        return found

    def keep(self, folder: Path) -> None:
        """Write a copy of the bundle, unless there is one."""
        if not folder.is_dir():
            write_bundle(folder, self.bundle)


def start_of(spec: InitFrom | None, inputs: Mapping[str, InputSpec], *, kept: Path | None) -> Start | None:
    """The model to start from, its bundle checked by its hashes; None where none is named.

    `kept` is the copy that a run which is resumed has of it. Raises `BundleError` where there is no such model or it is
    damaged, `SpecError` where it lacks what is to be taken.
    """
    if spec is None:
        return None
    try:
        bundle = read_bundle(kept if kept is not None and kept.is_dir() else _bundle_of(Path(spec.run)))
        source = restore(bundle)
    except BundleError as error:
        raise BundleError(f"{WHERE}: {error}") from None
    there = {name: one for name, (one, _) in source.inputs.items()}
    return Start(bundle, source, _by_name(spec, inputs, there), spec.run)


def _bundle_of(folder: Path) -> Path:
    if (folder / "bundle").is_dir():
        return folder / "bundle"
    if (folder / "experiment.yaml").is_file():
        raise BundleError(f"{folder}: the run there is not finished; go on with it by --resume")
    return folder


def _by_name(spec: InitFrom, here: Mapping[str, InputSpec], there: Mapping[str, InputSpec]) -> dict[str, str]:
    """The inputs here that have an encoder of their own, and whose they take."""
    owner = owners(here)
    if spec.inputs is None:
        found = {name: name for name in sorted(set(owner.values()) & set(there))}
    else:
        found = dict(sorted(spec.inputs.items()))
    if not found:
        raise SpecError(
            f"{WHERE}: {spec.run} has inputs {', '.join(sorted(there))}, none of which is one here; say which is taken "
            f"for which by {WHERE}: {{run: ..., inputs: {{{next(iter(here))}: {next(iter(there))}}}}}"
        )
    for mine, theirs in found.items():
        where = f"{WHERE}.inputs.{mine}"
        if mine not in here:
            raise SpecError(f"{where}: there is no input {mine!r}{did_you_mean(mine, here)}")
        if owner[mine] != mine:
            raise SpecError(f"{where}: {mine!r} shares the encoder of {owner[mine]!r}; name that one")
        if theirs not in there:
            raise SpecError(f"{where}: {spec.run} has no input {theirs!r}{did_you_mean(theirs, there)}")
        if here[mine].kind != there[theirs].kind:
            raise SpecError(
                f"{where}: {mine!r} is of kind {here[mine].kind}, but expected {there[theirs].kind}, as {theirs!r} is "
                f"in {spec.run}; what one kind learned says nothing to another: name the inputs that are taken by "
                f"{WHERE}: {{run: ..., inputs: {{...}}}}, without this one"
            )
    return found


def _differing(mine: Frozen, theirs: Frozen) -> Iterator[tuple[str, object, object]]:
    """Fields that the user wrote and that say otherwise, with both values; those of a Spec inside by their path."""
    for field in sorted(mine.model_fields_set - set(_own_fields(mine, theirs)) - OF_TRAINING - set(OWN_FIELDS)):
        own, other = getattr(mine, field), getattr(theirs, field, None)
        if isinstance(own, Frozen) and isinstance(other, Frozen) and type(own) is type(other):
            yield from ((f"{field}.{name}", found, wanted) for name, found, wanted in _differing(own, other))
            if field == "encoder" and getattr(own, "model", None) != getattr(other, "model", None):
                yield f"{field}.model", getattr(own, "model", None), getattr(other, "model", None)
        elif own not in ("auto", other):
            yield field, _short(own), _short(other)


def _short(value: object) -> object:
    return getattr(value, "kind", value) if isinstance(value, Frozen) else value


def _merged(mine: InputSpec, theirs: InputSpec) -> InputSpec:
    """Their Spec, with what is each run's own as it is here."""
    own = {field: getattr(mine, field) for field in (*OWN_FIELDS, *_own_fields(mine, theirs))}
    inner, former = getattr(mine, "encoder", None), getattr(theirs, "encoder", None)
    if isinstance(former, Frozen) and isinstance(inner, Frozen) and type(inner) is type(former):
        changes = {field: getattr(inner, field) for field in _own_fields(inner, former)}
        own["encoder"] = former.model_copy(update=changes)
    return theirs.model_copy(update=own)


def _own_fields(mine: Frozen, theirs: Frozen) -> list[str]:
    """With the rank of matrices that there are none of yet."""
    own = OF_TRAINING | ({"rank"} if getattr(theirs, "tune", "lora") != "lora" else set())
    return sorted(own & set(type(mine).model_fields) & set(type(theirs).model_fields))
