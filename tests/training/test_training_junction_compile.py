"""Compiled encoders and trunks before the junction: the eager update, for every method at every place.

By "aot_eager", which traces and differentiates as the default does, but calls the operations one by one: a graph of it
is one node, as any compiled graph is, and rounds as without. Everything is compiled once for all methods.
"""

import copy
import threading
from collections.abc import Iterator, Mapping, Sequence

import pytest
import torch
from junction_world import PRIORITIES, SEED, batch, cases, micro_batches, network, shared
from torch import Tensor, nn

from motet import balance
from motet.core.errors import SpecError
from motet.model import Network
from motet.nn.dropout import Dropout
from motet.nn.keyed import keys_of, row_keys
from motet.training import train_step
from motet.training.compiled import compile_encoders

CASES = cases()
AT_EACH_PLACE = [name for name, one in CASES.items() if type(one) in (balance.MGDA, balance.MoCo, balance.GradDrop)]
BACKEND = "aot_eager"
Rooms = Mapping[str, nn.Module]
# torch's own, where a part behind a break in the graph is compiled: a trunk, whose features are no leaf
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")


@pytest.fixture(scope="module", autouse=True)
def _settings_of_torch() -> Iterator[None]:
    """Compiling for a run sets them for the process."""
    import torch._dynamo
    import torch._functorch.config

    before = torch._functorch.config.donated_buffer, torch._dynamo.config.recompile_limit
    yield
    torch._functorch.config.donated_buffer, torch._dynamo.config.recompile_limit = before


@pytest.fixture(scope="module")
def encoders() -> Rooms:
    net = network(balance.Fixed()).double()
    compile_encoders(net, backend=BACKEND)
    return {"encoders": net.encoders}


@pytest.fixture(scope="module")
def trunk(encoders: Rooms) -> Rooms:
    """All that is shared, compiled: each encoder, fusion, and the trunk of each stream."""
    net = network(balance.Fixed()).double()
    net.fusion.compile(backend=BACKEND, dynamic=True)
    for _, one in net.sharing.items():
        one.trunk = torch.compile(one.trunk, backend=BACKEND, dynamic=True)
    return {**encoders, "fusion": net.fusion, "sharing": net.sharing}


def furnished(net: Network, rooms: Rooms) -> Network:
    """A copy with the same weights that has these rooms."""
    made = copy.deepcopy(net)
    for name, room in rooms.items():
        setattr(made, name, room)
    made.load_state_dict(net.state_dict())
    made.junction.shared = shared(made)
    return made


def trained(net: Network, *, steps: int = 2, sizes: Sequence[int] = (7, 2, 4)) -> dict[str, Tensor]:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    for step in range(steps):
        train_step(net, optimizer, micro_batches(step, sizes=sizes), priorities=PRIORITIES, seed=SEED, step=step)
    gradients = {f"{name}.grad": p.grad for name, p in net.named_parameters() if p.grad is not None}
    return {name: one.detach().clone() for name, one in (net.state_dict() | gradients).items()}


def assert_same(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, one in wanted.items():
        assert found[name].shape == one.shape
        size = max(1.0, float(one.abs().max())) if one.numel() else 1.0
        assert not one.numel() or float((found[name].double() - one.double()).abs().max()) / size <= 1e-6, name


@pytest.mark.parametrize("name", CASES)
def test_compiled_up_to_the_junction_gives_the_eager_update(name: str, trunk: Rooms) -> None:
    net = network(CASES[name]).double()
    found, wanted = (trained(one, steps=1, sizes=(7, 4)) for one in (furnished(net, trunk), net))
    assert_same(found, wanted)


@pytest.mark.parametrize("name", AT_EACH_PLACE)
def test_compiled_encoders_give_the_eager_update(name: str, encoders: Rooms) -> None:
    net = network(CASES[name]).double()
    assert_same(trained(furnished(net, encoders)), trained(net))


def test_what_is_compared_was_compiled(trunk: Rooms) -> None:
    net, one = furnished(network(balance.MGDA()).double(), trunk), batch(5, first=0)
    for name, encoder in net.encoders.items():
        assert encoder.encoder(one.inputs[name].values).values.grad_fn.name() == "CompiledFunctionBackward"
    fused = net.fusion(net.encode(one.inputs))
    for stream, sharing in net.sharing.items():
        assert fused[stream].pooled.grad_fn.name() == "CompiledFunctionBackward"
        assert sharing.trunk(fused[stream].pooled).grad_fn.name() == "CompiledFunctionBackward"


class Drops(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.drop, self.last = nn.Linear(3, 8), Dropout(0.5), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(self.drop(self.first(x)))
        return found


def test_a_compiled_encoder_drops_by_the_keys_of_the_rows_at_hand() -> None:
    """In one graph, which is not made anew for other rows."""
    eager = Drops()
    compiled = copy.deepcopy(eager)
    compiled.compile(backend=BACKEND, dynamic=True, fullgraph=True)
    seen = set()
    for step, size in enumerate((4, 7, 4, 4)):
        x = torch.ones(size, 3)
        with row_keys(keys_of(torch.arange(size), "step", step)):
            found, wanted = compiled(x), eager(x)
        assert torch.equal(found, wanted)
        seen.add(tuple(found[:4].flatten().tolist()))
    assert len(seen) == 4


def test_keys_of_another_thread_are_not_seen() -> None:
    eager, x = Drops(), torch.ones(4, 3)
    compiled = copy.deepcopy(eager)
    compiled.compile(backend=BACKEND, dynamic=True, fullgraph=True)

    def elsewhere() -> None:
        with row_keys(keys_of(torch.arange(9), "other")):
            entered.set()
            left.wait(60)

    entered, left = threading.Event(), threading.Event()
    other = threading.Thread(target=elsewhere)
    with row_keys(keys_of(torch.arange(4), "own")):
        other.start()
        entered.wait(60)
        assert torch.equal(compiled(x), eager(x))
        left.set()
        other.join()
        assert torch.equal(compiled(x), eager(x))


def test_what_a_graph_keeps_for_backward_is_there_for_a_pass_for_each_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that this backend does not look at, and the default one does."""
    import torch._functorch.config

    monkeypatch.setattr(torch._functorch.config, "donated_buffer", True)
    compile_encoders(network(balance.MGDA()), backend=BACKEND)
    assert torch._functorch.config.donated_buffer is False


def test_compiling_renames_nothing(encoders: Rooms) -> None:
    net = network(balance.MGDA())
    assert list(furnished(net, encoders).state_dict()) == list(net.state_dict())
    assert not any(name.startswith("_orig_mod") for name, _ in net.named_modules())


def test_without_a_compiler_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(SpecError, match="needs a C\\+\\+ compiler"):
        compile_encoders(network(balance.MGDA()))
