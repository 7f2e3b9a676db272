"""What a component is: a frozen Spec (what the user writes) beside a plain module that works without it."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A frozen model that refuses unknown fields: the base of every Spec and of everything fitted."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())


class ComponentSpec(Frozen):
    """The Spec of one component. Subclasses narrow `kind` to their own word: `kind: Literal["concat"] = "concat"`."""

    kind: str
    paper: ClassVar[str] = ""

    @classmethod
    def word(cls) -> str:
        """The `kind` this Spec answers to."""
        default: Any = cls.model_fields["kind"].default
        return str(default)

    @classmethod
    def summary(cls) -> str:
        """The first line of the docstring, for `motet list`."""
        return (cls.__doc__ or "").strip().splitlines()[0]


def shorthand(value: Any) -> Any:
    """A word stands for a Spec with every field left as it is; anything else stays.

    >>> shorthand("image"), shorthand({"kind": "image", "size": 64})
    ({'kind': 'image'}, {'kind': 'image', 'size': 64})
    """
    return {"kind": value} if isinstance(value, str) else value
