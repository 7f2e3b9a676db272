"""Writing id by id: the likeliest each time, a beam of hypotheses, or chance.

Shapes: B rows, L ids, V ids in all; N hypotheses, K of them side by side for each row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from motet.core import seed
from motet.nn.beam import Beam, S, State, Step, worth_keeping
from motet.nn.keyed import uniform


@dataclass(frozen=True, slots=True)
class Greedy:
    """The likeliest id each time."""

    def choose(self, log_probability: Float[Tensor, "N V"], draw: Float[Tensor, "N"]) -> Int64[Tensor, "N"]:
        """The likeliest, whatever the draw.

        >>> Greedy().choose(torch.tensor([[0.2, 0.5, 0.3]]).log(), torch.tensor([0.9]))
        tensor([1])
        """
        return log_probability.argmax(dim=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """An id by chance, with probabilities `softmax(log p / temperature)` over some of the ids.

    `top_k`: only the k likeliest (Fan et al., ACL 2018). `top_p`: of these the fewest likeliest whose probabilities
    reach p (nucleus sampling; Holtzman et al., ICLR 2020). Either is renormalised.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"the temperature is above 0, found {self.temperature}; Greedy() is its limit at 0")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k is a number of ids, 1 or more, found {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is a probability above 0, found {self.top_p}")

    def choose(self, log_probability: Float[Tensor, "N V"], draw: Float[Tensor, "N"]) -> Int64[Tensor, "N"]:
        """The id at which the running sum of the probabilities passes `draw`, a number in [0, 1).

        >>> log_probability = torch.tensor([[0.2, 0.5, 0.3]]).log()
        >>> [Sampling(top_p=0.6).choose(log_probability, torch.tensor([draw])).item() for draw in (0.6, 0.7)]
        [1, 2]
        """
        probability, ids = (log_probability / self.temperature).softmax(1), None
        if self.top_k is not None:
            probability, ids = probability.topk(min(self.top_k, probability.shape[1]), dim=1)
            probability = probability / probability.sum(1, keepdim=True)
        elif self.top_p is not None:
            probability, ids = _likeliest(probability, self.top_p)
        probability = probability.double()
        if self.top_p is not None:
            probability = probability.where(probability.cumsum(1) - probability < self.top_p, 0.0)
        running = probability.cumsum(1)
        place = (running <= draw[:, None] * running[:, -1:]).sum(1, keepdim=True)
        return (place if ids is None else ids.gather(1, place))[:, 0]


def _likeliest(probability: Float[Tensor, "N V"], mass: float) -> tuple[Float[Tensor, "N n"], Int64[Tensor, "N n"]]:
    """As many of the likeliest, best first, as hold this mass in every row; to sort all of them takes far longer."""
    count = 64
    while True:
        first, ids = probability.topk(min(count, probability.shape[1]), dim=1)
        if count >= probability.shape[1] or bool((first.sum(1) >= mass).all()):
            return first, ids
        count *= 8


@torch.no_grad()
def generate(
    step: Step[S],
    state: S,
    *,
    start_id: int,
    end_id: int,
    longest: int,
    method: Greedy | Beam | Sampling | None = None,
    never: Sequence[int] = (),
    keys: Int64[Tensor, "B"] | None = None,
) -> tuple[Int64[Tensor, "B L"], Float[Tensor, "B"]]:
    """What each row writes, -1 behind its end, and the mean log probability of its ids, that of the end among them.

    `step(ids [N], state) -> (logits [N, V], state)`, as `Decoder.step`. Every row begins behind `start_id` and is done
    at `end_id`, which the answer leaves out, or is cut off after `longest` steps. The ids in `never` are not written,
    nor is `start_id` unless it is the end too. Probabilities are those of all ids, whatever is never written and
    whatever a `Sampling` makes of them. A `Sampling` draws by the `keys` of the rows: a row writes the same whoever its
    batch mates are, and something else by another key. Greedy where no method is named.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Nothing:
    ...     rows: int
    ...     device: torch.device = torch.device("cpu")
    ...     def select(self, index): return Nothing(len(index))
    >>> def counting(ids, state): return 9 * torch.eye(4)[(ids + 1) % 4], state
    >>> generate(counting, Nothing(2), start_id=0, end_id=3, longest=5)[0]
    tensor([[1, 2],
            [1, 2]])
    """
    barred = sorted({*never} | ({start_id} - {end_id}))
    if end_id in barred:
        raise ValueError(f"a row is done at the end, id {end_id}, so it can not be one that is never written")
    if longest < 1:
        raise ValueError(f"a row takes one step or more to write, found {longest} as the most")

    def told(ids: Tensor, state: S) -> tuple[Tensor, S]:
        logits, state = step(ids, state)
        log_probability = logits.log_softmax(1, dtype=torch.promote_types(logits.dtype, torch.float32))
        log_probability[:, barred] = -torch.inf
        return log_probability, state

    method = Greedy() if method is None else method
    if isinstance(method, Beam):
        ids, mean = method.search(told, state, start_id=start_id, end_id=end_id, longest=longest)
    else:
        draws = _draws(state, keys, longest) if isinstance(method, Sampling) else torch.zeros(state.rows, longest)
        ids, mean = _one_each(told, state, method, draws.to(state.device), start_id=start_id, end_id=end_id)
    return ids[:, (ids >= 0).any(dim=0)], mean


def _draws(state: State, keys: Int64[Tensor, "B"] | None, longest: int) -> Float[Tensor, "B longest"]:
    if keys is None or len(keys) != state.rows:
        found = "none" if keys is None else str(len(keys))
        raise ValueError(f"sampling draws by keys, one for each of the {state.rows} rows, found {found}; see keys_of")
    return uniform(keys, salt=seed.key("generate"), count=longest)


def _one_each(
    step: Step[S], state: S, method: Greedy | Sampling, draws: Float[Tensor, "B longest"], *, start_id: int, end_id: int
) -> tuple[Int64[Tensor, "B longest"], Float[Tensor, "B"]]:
    """One hypothesis per row; one that is done is carried along or left out, and nothing more is taken from it."""
    row = torch.arange(len(draws), device=draws.device)
    ids, total = torch.full_like(draws, -1, dtype=torch.int64), torch.zeros_like(row, dtype=torch.float64)
    last, steps, going = torch.full_like(row, start_id), torch.zeros_like(row), torch.ones_like(row) > 0
    for place in range(draws.shape[1]):
        log_probability, state = step(last, state)
        last = method.choose(log_probability, draws[row, place])
        total[row[going]] += log_probability[going, last[going]]
        steps[row[going]] += 1
        going = going & (last != end_id)
        ids[row[going], place] = last[going]
        if not going.any():
            break
        kept = worth_keeping(going)
        if len(kept) < len(row):
            state, row, last, going = state.select(kept), row[kept], last[kept], going[kept]
    return ids, total / steps
