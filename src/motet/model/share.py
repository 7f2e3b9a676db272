"""Inputs of one kind that share what was fitted and what is learned: two photos of a thing, a question and an answer.

The one that is named, the owner, keeps the encoder; the others borrow it.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from motet.core.checks import did_you_mean
from motet.core.errors import SpecError
from motet.core.flow import Tokens
from motet.inputs.base import Encoder, InputSpec
from motet.nn.keyed import current_row_keys, keys_of, row_keys

OWN_FIELDS = ("column", "columns", "missing", "drop", "drop_rise", "share")
"""What an input that shares may say for itself; all else is the owner's to say."""


class Borrowed(Encoder):
    """The encoder of another input, the very same module, under row keys of its own: two photos share no dropout mask.

    It stays the owner's: here it has no parameters, so that each is saved, trained and averaged once.
    """

    def __init__(self, encoder: Encoder, *, name: str) -> None:
        super().__init__()
        self.output_width, self.output_grid = encoder.output_width, encoder.output_grid
        self.output_maps = encoder.output_maps
        self.name = name
        self.lent = (encoder,)  # in a tuple torch does not see it

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        """As the owner encodes them."""
        keys = current_row_keys()
        with row_keys(None if keys is None else keys_of(keys, "share", self.name)):
            tokens: Tokens = self.lent[0](values)
        return tokens


def lender(encoder: Encoder) -> Encoder:
    """Whose weights encode an input: its own encoder, or the one it borrows."""
    return encoder.lent[0] if isinstance(encoder, Borrowed) else encoder


def learned_by(encoder: Encoder) -> list[nn.Parameter]:
    """The parameters that encode an input, borrowed ones as well."""
    return list(lender(encoder).parameters())


def owners(inputs: Mapping[str, InputSpec]) -> dict[str, str]:
    """For each input the one whose encoder it has: itself, unless it shares.

    Raises `SpecError` where the owner is no other input of the kind with an encoder of its own, and for a field that
    would be ignored: one that says otherwise than the owner's.
    """
    for name, spec in inputs.items():
        if spec.share is not None:
            _check_owner(name, spec, spec.share, inputs)
            _check_fields(name, spec, inputs[spec.share], owner=spec.share)
    return {name: spec.share or name for name, spec in inputs.items()}


def as_owner(spec: InputSpec, owner: InputSpec) -> InputSpec:
    """The Spec of an input that shares, with all but `OWN_FIELDS` as the owner has them.

    >>> from motet.inputs import Number
    >>> as_owner(Number(column="b", share="a"), Number(column="a", width=4)).width
    4
    """
    return owner.model_copy(update={field: getattr(spec, field) for field in OWN_FIELDS})


def _check_owner(name: str, spec: InputSpec, other: str, inputs: Mapping[str, InputSpec]) -> None:
    where = f"inputs.{name}.share"
    able = [one for one, its in inputs.items() if one != name and its.kind == spec.kind and its.share is None]
    if other == name:
        raise SpecError(f"{where}: {other!r} is this input itself; name another {spec.kind} input{_of(able)}")
    if other not in inputs:
        raise SpecError(f"{where}: there is no input {other!r}{did_you_mean(other, able)}")
    found = inputs[other]
    if found.kind != spec.kind:
        raise SpecError(
            f"{where}: {other!r} is of kind {found.kind}, this input of kind {spec.kind}; "
            f"inputs of one kind share an encoder{_of(able)}"
        )
    if found.share is not None:
        raise SpecError(f"{where}: {other!r} has no encoder of its own, it shares that of {found.share!r}{_of(able)}")


def _check_fields(name: str, spec: InputSpec, shared: InputSpec, *, owner: str) -> None:
    for field in sorted(spec.model_fields_set - {"kind", *OWN_FIELDS}):
        own, theirs = getattr(spec, field), getattr(shared, field)
        if own != theirs:
            raise SpecError(
                f"inputs.{name}.{field}: found {_short(own)}, but the encoder is that of {owner!r}, where it is "
                f"{_short(theirs)}; leave it out here, or leave out `share`. "
                f"An input that shares may set {', '.join(OWN_FIELDS)}"
            )


def _of(able: list[str]) -> str:
    return f"; choose from {', '.join(able)}" if able else ""


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
