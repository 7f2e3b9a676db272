"""What the user writes of a tagging task, and how it is fitted."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, ClassVar, Literal, Self

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from motet.core.checks import text_of
from motet.core.errors import CellError, DataError, SpecError
from motet.core.flow import Cells, Reader
from motet.tasks.base import Codec
from motet.tasks.labels import Label, count_labels
from motet.tasks.losses import labelled_loss
from motet.tasks.part import PartTask, Source, input_to_read
from motet.tasks.tagging.codec import TaggingCodec, tags_of
from motet.tasks.tagging.entities import in_scheme, is_bio
from motet.tasks.tagging.head import TaggingHead


class Tagging(PartTask):
    """Say of every word of a text which tag it has.

    A label is a list of as many tags as the text has words. The loss of a row is -log p(tags) / m, m the mean number of
    labelled words of a row: as in the scores, each word counts the same, whether its text is short or long. With tags
    B-x, I-x and O (Ramshaw & Marcus, 1995) it is the entities they mark that are scored.

    >>> codec = Tagging(of="note").fit([["O", "B-place"], "O|O"], {})
    >>> codec.scheme, codec.tags
    ('bio', ('B-place', 'O'))
    """

    paper: ClassVar[str] = "Lample et al., Neural Architectures for Named Entity Recognition, NAACL 2016"
    metric_names: ClassVar[tuple[str, ...]] = ("f1", "accuracy")
    asks: ClassVar[Mapping[str, object]] = {"words": True}
    beside_input: ClassVar[bool] = True

    kind: Literal["tagging"] = "tagging"
    of: str | None = Field(default=None, description="The text; found by itself where there is one.")
    separator: str = Field(
        default="|",
        min_length=1,
        description="What divides the tags in a cell that is text; white space does where there is none of it.",
    )
    scheme: Literal["bio", "none", "auto"] = Field(
        default="auto",
        description="bio: tags B-x, I-x and O mark entities; none: each word is by itself; auto: bio where all are so.",
    )
    crf: bool | Literal["auto"] = Field(
        default="auto",
        description="Learn which tag follows which, and answer the likeliest tags together; auto: where they are bio.",
    )

    @property
    def reads(self) -> tuple[str, ...]:
        """The text."""
        assert self.of is not None, "the inputs it reads are not written out"
        return (self.of,)

    def reading(self, kinds: Mapping[str, str]) -> Self:
        """With the text by name."""
        return self.model_copy(update={"of": input_to_read(self.of, kinds, ("text",), word=self.kind, field="of")})

    def fit(self, cells: Iterable[object], readers: Mapping[str, Reader]) -> TaggingCodec:
        """Collect the tags; `DataError` where there are fewer than two, or one is not of the scheme."""
        rows = [tags for cell in cells if (tags := list(self._tags(cell)))]
        counts = count_labels(chain.from_iterable(rows))
        if not counts:
            raise DataError("no word of a training row has a tag; name the right column, or leave the task out")
        texts = [text_of(tag) for tag in counts]
        if len(texts) == 1:
            raise DataError(
                f"every word with a tag has the same one, {texts[0]!r}: there is nothing to learn; add rows with other "
                "tags, or leave the task out"
            )
        scheme: Literal["bio", "none"] = ("bio" if is_bio(texts) else "none") if self.scheme == "auto" else self.scheme
        odd = [text for text in texts if not in_scheme(text)]
        if scheme == "bio" and odd:
            raise DataError(f"tag {odd[0]!r} is not of the scheme BIO: O, or B-x or I-x; is it `scheme: none`?")
        return TaggingCodec(
            tags=tuple(counts),
            scheme=scheme,
            separator=self.separator,
            missing=self.missing,
            mean_words=sum(counts.values()) / len(rows),
        )

    def restore(self, state: dict[str, Any]) -> TaggingCodec:
        """The codec of a bundle."""
        return TaggingCodec.model_validate(state)

    def resolved(self, codec: Codec) -> Self:
        """With the scheme that was found."""
        assert isinstance(codec, TaggingCodec)
        return self.model_copy(update={"scheme": codec.scheme, "crf": self._chains(codec)})

    def build(self, codec: Codec, input_width: int, sources: Mapping[str, Source]) -> TaggingHead:
        """A head over the words of the text; `SpecError` where they are not told apart."""
        assert isinstance(codec, TaggingCodec)
        (name,) = self.reads
        reader: Any = sources[name].reader
        if not getattr(reader, "words", False):
            raise SpecError(f"of: the words of {name!r} are not told apart; set inputs.{name}.words: true")
        return TaggingHead(
            input=name,
            source_width=sources[name].width,
            input_width=input_width,
            num_tags=len(codec.tags),
            mean_words=codec.mean_words,
            chained=reader.max_tokens + 1 if self._chains(codec) else None,
        )

    def loss(self, output: Float[Tensor, "B"], target: Cells) -> Float[Tensor, "B"]:
        """What the head has found for each labelled row."""
        return labelled_loss(lambda found, _: found, output, target)

    def _chains(self, codec: TaggingCodec) -> bool:
        return codec.scheme == "bio" if self.crf == "auto" else self.crf

    def _tags(self, cell: object) -> Iterator[Label]:
        """The tags of a label, or of a pair of label and text; none of one that can not be read."""
        given = cell[0] if isinstance(cell, tuple) and len(cell) == 2 else cell
        try:
            yield from [tag for tag in tags_of(given, self.separator, missing=self.missing) if tag is not None]
        except CellError:
            return
