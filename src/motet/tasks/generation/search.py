"""How a trained model writes: the likeliest id each time, a beam of hypotheses, or chance."""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from motet.core.component import ComponentSpec, shorthand
from motet.nn import Beam, Greedy, Sampling


class GreedySearch(ComponentSpec):
    """The likeliest id each time: the fastest.

    >>> GreedySearch().build()
    Greedy()
    """

    kind: Literal["greedy"] = "greedy"

    def build(self) -> Greedy:
        """The method."""
        return Greedy()


class BeamSearch(ComponentSpec):
    """Beam search: several hypotheses of each row side by side, the best of which is the answer.

    >>> BeamSearch(width=2).build()
    Beam(width=2, alpha=0.6)
    """

    kind: Literal["beam"] = "beam"
    paper: ClassVar[str] = "Wu et al., Google's Neural Machine Translation System, 2016"
    width: int = Field(default=4, ge=1, description="Hypotheses side by side; 1 is greedy.")
    length_penalty: float = Field(
        default=0.6, ge=0, description="alpha: 0 compares sums of log probabilities, more favours longer answers."
    )

    def build(self) -> Beam:
        """The method."""
        return Beam(width=self.width, alpha=self.length_penalty)


class Sample(ComponentSpec):
    """Every id by chance, which is the same whenever the same row is answered, and the same for all rows.

    >>> Sample(top_p=0.9).build()
    Sampling(temperature=1.0, top_k=None, top_p=0.9)
    """

    kind: Literal["sample"] = "sample"
    paper: ClassVar[str] = "Holtzman et al., The Curious Case of Neural Text Degeneration, ICLR 2020"
    temperature: float = Field(default=1.0, gt=0, description="Below 1 likely ids become likelier still.")
    top_k: int | None = Field(default=None, ge=1, description="Only so many of the likeliest ids; null for all.")
    top_p: float | None = Field(
        default=None, gt=0, le=1, description="Only the fewest likeliest ids that hold this probability; null for all."
    )
    seed: int = Field(default=0, ge=0, description="Another seed writes other texts.")

    def build(self) -> Sampling:
        """The method."""
        return Sampling(temperature=self.temperature, top_k=self.top_k, top_p=self.top_p)


AnySearch = Annotated[
    Annotated[GreedySearch | BeamSearch | Sample, Field(discriminator="kind")], BeforeValidator(shorthand)
]
