"""The decoder: against torch's own layers, step by step against all at once, and blind to what it may not see."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from motet.nn import Beam, Decoder, DecoderState, Greedy, generate, keys_of, row_keys, salt_dropouts

MASK = torch.tensor([[True, True, False, False], [True] * 4, [False] * 4])
IDS = torch.tensor([[0, 3, 5, 1, 4], [0, 2, 2, 6, 3], [0, 6, 1, 1, 5]])


def decoder(dropout: float = 0.0, longest: int = 9) -> Decoder:
    torch.manual_seed(0)
    made = Decoder(8, layers=2, heads=2, num_ids=7, longest=longest, dropout=dropout)
    with torch.no_grad():  # norms, biases and places as after some training
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made.double()


def memory() -> Tensor:
    return torch.randn(3, 4, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def stepped(model: Decoder, ids: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
    told = []
    for place in range(ids.shape[1]):
        logits, state = model.step(ids[:, place], state)
        told.append(logits)
    return torch.stack(told, dim=1), state


def test_it_equals_the_layers_of_torch() -> None:
    model, ids, known = decoder(), IDS[:2], MASK[:2]
    x = model.embedding[ids] + model.places[:5]
    later = torch.ones(5, 5, dtype=torch.bool).triu(1)
    for block in model._blocks():
        layer = nn.TransformerDecoderLayer(8, 2, 32, 0.0, "gelu", batch_first=True, norm_first=True).double()
        layer.load_state_dict(as_torch_names(block))
        read = block.cross.context_norm(memory()[:2])
        x = layer(x, read, tgt_mask=later, memory_key_padding_mask=~known)
    expected = model.norm(x) @ model.embedding.T
    torch.testing.assert_close(model(ids, memory()[:2], known), expected)


def as_torch_names(block: nn.Module) -> dict[str, Tensor]:
    own, named = block.state_dict(), {}
    for theirs, ours in [("self_attn", "attention"), ("multihead_attn", "cross.attention")]:
        for kind in ("weight", "bias"):
            named[f"{theirs}.in_proj_{kind}"] = torch.cat(
                [own[f"{ours}.query.{kind}"], own[f"{ours}.key_value.{kind}"]]
            )
            named[f"{theirs}.out_proj.{kind}"] = own[f"{ours}.output.{kind}"]
    pairs = {"norm1": "norm", "norm2": "cross.attention_norm", "norm3": "cross.mlp_norm"}
    pairs |= {"linear1": "cross.mlp.0", "linear2": "cross.mlp.2"}
    return named | {
        f"{theirs}.{kind}": own[f"{ours}.{kind}"] for theirs, ours in pairs.items() for kind in ("weight", "bias")
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_step_by_step_says_what_forward_says_at_once(dtype: torch.dtype) -> None:
    model, read = decoder().to(dtype), memory().to(dtype)
    told, _ = stepped(model, IDS, model.start(read, MASK))
    torch.testing.assert_close(told, model(IDS, read, MASK), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "index",
    [
        [0, 0, 1, 1, 2, 2],  # a beam opens
        [0, 1, 2],
        [1, 2],  # a row is left out
        [2, 0, 1, 0],  # moved and repeated
        [1, 1, 1, 0],  # unequally many
        [0, 1, 0, 1],  # the same row twice, apart
    ],
)
def test_hypotheses_go_on_from_what_they_wrote_whatever_was_selected(index: list[int]) -> None:
    model, chosen = decoder(), torch.tensor(index)
    _, state = stepped(model, IDS[:, :2], model.start(memory(), MASK))
    state = state.select(chosen)
    own = torch.randint(0, 7, (len(index), 5), generator=torch.Generator().manual_seed(2))
    own[:, :2] = IDS[chosen, :2]
    told, state = stepped(model, own[:, 2:4], state)
    assert state.rows == len(index)
    second = torch.arange(len(index)).flip(0).repeat_interleave(2)  # and once more, from a state of several hypotheses
    own, order = own[second], chosen[second]
    after, _ = stepped(model, own[:, 4:], state.select(second))
    expected = model(own, memory()[order], MASK[order])
    torch.testing.assert_close(told[second], expected[:, 2:4])
    torch.testing.assert_close(after, expected[:, 4:])


@pytest.mark.parametrize("place", range(4))
def test_two_futures_of_one_state_do_not_disturb_each_other(place: int) -> None:
    model = decoder()
    state = model.start(memory(), MASK)
    for before in range(place):
        _, state = model.step(IDS[:, before], state)
    other = (IDS + 1) % 7
    other[:, :place] = IDS[:, :place]
    first_logits, first = model.step(IDS[:, place], state)
    other_logits, second = model.step(other[:, place], state)
    for ids, logits, behind in [(IDS, first_logits, first), (other, other_logits, second)]:
        told, _ = stepped(model, ids[:, place + 1 :], behind)
        expected = model(ids, memory(), MASK)
        torch.testing.assert_close(logits, expected[:, place])
        torch.testing.assert_close(told, expected[:, place + 1 :])


def test_later_ids_change_nothing_and_earlier_ones_do() -> None:
    model, changed = decoder(), IDS.clone()
    changed[:, 3] = 0
    before, after = model(IDS, memory(), MASK), model(changed, memory(), MASK)
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.isclose(before[:, 4], after[:, 4]).any()


def test_padding_ids_change_nothing_before_them() -> None:
    model = decoder()
    padded = nn.functional.pad(IDS, (0, 3), value=-1)
    logits = model(padded, memory(), MASK)
    assert logits.isfinite().all()
    torch.testing.assert_close(logits[:, :5], model(IDS, memory(), MASK), rtol=0, atol=1e-12)


@pytest.mark.parametrize("filler", [float("nan"), float("inf"), 1e9])
def test_what_the_mask_hides_changes_nothing(filler: float) -> None:
    model, poisoned = decoder(), memory().masked_fill(~MASK[:, :, None], filler)
    assert torch.equal(model(IDS, poisoned, MASK), model(IDS, memory(), MASK))
    told, _ = stepped(model, IDS, model.start(poisoned, MASK))
    assert torch.equal(told, stepped(model, IDS, model.start(memory(), MASK))[0])


@pytest.mark.parametrize("ask", [lambda *given: decoder()(*given), lambda *given: all_steps(*given)])
def test_a_row_alone_and_without_padding_says_the_same(ask: Callable[..., Tensor]) -> None:
    alone = ask(IDS[:1], memory()[:1, :2], MASK[:1, :2])
    torch.testing.assert_close(ask(IDS, memory(), MASK)[:1], alone, rtol=0, atol=1e-12)


def all_steps(ids: Tensor, read: Tensor, mask: Tensor) -> Tensor:
    model = decoder()
    return stepped(model, ids, model.start(read, mask))[0]


def test_a_row_without_memory_is_finite_and_reads_nothing() -> None:
    model, poisoned = decoder(), memory().masked_fill(~MASK[:, :, None], float("nan")).requires_grad_()
    logits = model(IDS, poisoned, MASK)[2:]
    torch.autograd.backward(logits.sum())
    assert logits.isfinite().all()
    assert poisoned.grad is not None
    assert (poisoned.grad == 0).all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    torch.testing.assert_close(all_steps(IDS, memory(), MASK)[2:], logits)
    model.zero_grad()
    no_tokens = model(IDS[2:], memory()[2:, :0], MASK[2:, :0])
    torch.testing.assert_close(no_tokens, logits)
    torch.autograd.backward(no_tokens.sum())
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_every_parameter_learns_from_finite_gradients() -> None:
    model, poisoned = decoder(longest=5), memory().masked_fill(~MASK[:, :, None], float("nan"))
    torch.autograd.backward((model(IDS, poisoned, MASK) ** 3).sum())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert (parameter.grad != 0).any(), name


def test_dropout_is_that_of_the_row() -> None:
    model, keys = decoder(dropout=0.3), keys_of(torch.arange(3), 0)
    salt_dropouts(model, 0)
    with row_keys(keys):
        whole = model(IDS, memory(), MASK)
    with row_keys(keys[1:2]):
        alone = model(nn.functional.pad(IDS[1:2], (0, 2), value=-1), memory()[1:2], MASK[1:2])
    torch.testing.assert_close(whole[1:2], alone[:, :5])
    assert not torch.allclose(whole, model.eval()(IDS, memory(), MASK))


def test_steps_take_no_dropout_and_no_gradients() -> None:
    model = decoder(dropout=0.5)
    told, _ = stepped(model, IDS, model.start(memory().requires_grad_(), MASK))
    assert not told.requires_grad
    torch.testing.assert_close(told, model.eval()(IDS, memory(), MASK))


def test_more_ids_than_places_are_refused() -> None:
    model = decoder(longest=4)
    with pytest.raises(ValueError, match="the longest of 4 ids, found 5"):
        model(IDS, memory(), MASK)
    _, state = stepped(model, IDS[:, :4], model.start(memory(), MASK))
    with pytest.raises(ValueError, match="the longest of 4 ids, found 5"):
        model.step(IDS[:, 4], state)


def test_it_learns_to_write_its_memory_backwards() -> None:
    """Only a decoder that looks at its memory by place, and knows how far it is, can do it."""
    torch.manual_seed(0)
    model = Decoder(32, layers=1, heads=4, num_ids=6, longest=6)
    said, place = torch.randn(6, 32), torch.randn(4, 32)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(150):
        words = torch.randint(2, 6, (64, 4))
        target = torch.cat([words.flip(1), torch.ones(64, 1, dtype=torch.long)], dim=1)
        ids = nn.functional.pad(target[:, :-1], (1, 0))
        logits = model(ids, said[words] + place, torch.ones(64, 4, dtype=torch.bool))
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten()))
        optimizer.step()
    words = torch.randint(2, 6, (50, 4))
    for method in (Greedy(), Beam(width=3)):
        state = model.start(said[words] + place, torch.ones(50, 4, dtype=torch.bool))
        written, _ = generate(model.step, state, start_id=0, end_id=1, longest=6, method=method)
        assert (written[:, :4] == words.flip(1)).float().mean() > 0.95
