"""What every method of balancing inputs has to do. B rows.

The example: three inputs of different widths, rows that lack some of them, a task with classes and one with a number.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from motet.balance import NoThrottle, ThrottleSpec
from motet.core.flow import Tokens
from motet.nn.keyed import keys_of
from motet.testing import suite
from motet.testing.throttle_bench import (
    NUM_ROWS,
    WIDTHS,
    Rows,
    Seen,
    bench,
    build,
    practised,
    some_rows,
    validated,
)

KEYS = keys_of(torch.arange(NUM_ROWS), 0)


def check_throttle(spec: ThrottleSpec) -> None:
    """Run every check of the room on the method of this Spec; `AssertionError` names what fails.

    >>> from motet.balance import OGM
    >>> check_throttle(OGM())
    """
    suite.run(CHECKS, spec, name=f"throttle {spec.kind}")


def spec_survives_json(spec: ThrottleSpec) -> None:
    """The Spec written as JSON and read back is the same Spec."""
    suite.spec_survives_json(spec)


def forward_is_the_identity(spec: ThrottleSpec) -> None:
    """Tokens come out bit for bit, in training and evaluation, for fusion and, where they are used, for the heads."""
    throttle, tokens = practised(spec), bench().encode(some_rows())
    for training in (True, False):
        throttled, alone = throttle.train(training)(tokens)
        for which in (throttled, alone) if throttle.uses_singles else (throttled,):
            assert set(which) == set(tokens), f"inputs {sorted(tokens)} come out as {sorted(which)}"
            for name, one in which.items():
                for part in ("values", "mask", "present"):
                    suite.assert_same_bits(getattr(one, part), getattr(tokens[name], part), f"{part} of {name!r}")


def evaluation_is_plain(spec: ThrottleSpec) -> None:
    """In evaluation mode gradients pass as they are, whatever was done before."""
    network, rows = bench(), some_rows()
    gradients = []
    for throttle in (practised(spec).eval(), build(NoThrottle()).eval()):
        network.zero_grad()
        network.witness(throttle, rows)[1].backward()  # type: ignore[no-untyped-call]
        gradients.append([one.grad.clone() for one in network.encoders.parameters() if one.grad is not None])
    for found, plain in zip(*gradients, strict=True):
        suite.assert_same_bits(found, plain, "the gradient in evaluation mode")


def inputs_go_by_name(spec: ThrottleSpec) -> None:
    """Inputs in another order get the same bits."""
    rows, straight, turned = some_rows(), practised(spec), practised(spec)
    _assert_same(bench().step(turned, rows.turned()), bench().step(straight, rows), "inputs in reverse order")
    for name, shown in straight.keep(_present(rows), KEYS).items():
        again = turned.keep(_present(rows.turned()), KEYS)[name]
        suite.assert_same_bits(again, shown, f"who is shown {name!r} with inputs in reverse order")


def absent_inputs_cost_nothing(spec: ThrottleSpec) -> None:
    """An input that the batch lacks has factor 1 and teaches nothing; all is finite then, and without any input too."""
    for absent in (("photo",), ("age", "review"), ("age", "photo", "review")):
        seen = bench().step(practised(spec), some_rows().without(*absent))
        for name in absent:
            assert seen.factors.get(name, 1.0) == 1, f"{name!r} is absent, its factor is {seen.factors[name]}"
            taught = [one for one in seen.encoders[name] if one is not None and bool((one != 0).any())]
            assert not taught, f"{name!r} is absent, its encoder gets a gradient"
        _assert_finite(seen, f"without {', '.join(absent)}")


def labels_may_be_missing(spec: ThrottleSpec) -> None:
    """Without a label of one task, or of any, all is finite."""
    rows = some_rows()
    for missing in (("mood",), ("price",), ("mood", "price")):
        targets = {task: cells for task, cells in rows.targets.items() if task not in missing}
        _assert_finite(bench().step(practised(spec), Rows(rows.tokens, targets)), f"without {', '.join(missing)}")


def hidden_content_does_not_matter(spec: ThrottleSpec) -> None:
    """What stands behind a mask, NaN included, or in the place of an absent input, changes no bit."""
    clean = bench().step(practised(spec), some_rows())
    for filler in (float("nan"), 1e30):
        spoilt = Rows({name: _spoilt(one, filler) for name, one in some_rows().tokens.items()}, some_rows().targets)
        _assert_same(bench().step(practised(spec), spoilt), clean, f"with {filler} behind the mask")


def terms_teach_every_single_head(spec: ThrottleSpec) -> None:
    """Where there are single-input heads, each gets a gradient; terms are finite scalars."""
    throttle = practised(spec)
    seen = bench().step(throttle, some_rows())
    for name, term in seen.terms.items():
        assert term.dim() == 0, f"the term {name!r} has shape {tuple(term.shape)}"
    for (name, task), gradient in seen.heads.items() if throttle.uses_singles else ():
        learns = gradient is not None and bool((gradient != 0).any())
        assert learns, f"the head of {name!r} for {task!r} learns nothing"
    _assert_finite(seen, "a step")


def chance_is_passed_in(spec: ThrottleSpec) -> None:
    """Nothing is drawn from the global random state, and no weight is moved."""
    throttle, network, rows = practised(spec), bench(), some_rows()
    before = torch.get_rng_state(), [one.detach().clone() for one in network.parameters()]
    throttle.keep(_present(rows), KEYS)
    network.step(throttle, rows, key=1)
    suite.assert_same_bits(torch.get_rng_state(), before[0], "the global random state")
    for parameter, former in zip(network.parameters(), before[1], strict=True):
        suite.assert_same_bits(parameter.detach(), former, "a weight")


def rows_keep_an_input(spec: ThrottleSpec) -> None:
    """`keep` shows what is there, at least one input of a row that has any, by the row's own key."""
    throttle, present = practised(spec), _present(some_rows())
    shown = throttle.keep(present, KEYS)
    assert set(shown) == set(present), f"given {sorted(present)}, keep returned {sorted(shown)}"
    for name in present:
        assert not bool((shown[name] & ~present[name]).any()), f"{name!r} is shown where it is absent"
    some, left = (torch.stack(list(one.values())).any(dim=0) for one in (present, shown))
    suite.assert_same_bits(left, some, "whether a row has an input left")
    for row in range(NUM_ROWS):
        alone = throttle.keep({name: one[row : row + 1] for name, one in present.items()}, KEYS[row : row + 1])
        for name in present:
            suite.assert_same_bits(alone[name], shown[name][row : row + 1], f"row {row} without the others")


def row_weights_are_fair(spec: ThrottleSpec) -> None:
    """Every row is drawn sometimes, and the mean is once an epoch."""
    weights = practised(spec).row_weights(_present(some_rows()))
    if weights is not None:
        assert weights.shape == (NUM_ROWS,), f"{NUM_ROWS} rows get weights of shape {tuple(weights.shape)}"
        assert bool((weights > 0).all()), "a row is never drawn"
        suite.assert_close(weights.double().mean(), torch.ones((), dtype=torch.float64), "the mean of the row weights")


def one_input_is_left_alone(spec: ThrottleSpec) -> None:
    """With one input there is nothing to balance: its encoder's gradient is that of the joint loss alone."""
    rows = some_rows().only(["photo"])
    seen = bench(["photo"]).step(build(spec, ["photo"]), rows)
    plain = bench(["photo"]).step(build(NoThrottle(), ["photo"]), rows)
    for found, expected in zip(seen.encoders["photo"], plain.encoders["photo"], strict=True):
        assert found is not None, "the encoder gets no gradient"
        assert expected is not None
        suite.assert_same_bits(found, expected, "the gradient of a lone input")


def nothing_learns_unseen(spec: ThrottleSpec) -> None:
    """Every tensor that learns is in `parameters()`."""
    suite.assert_none_hidden(build(spec))


def state_dict_is_all(spec: ThrottleSpec) -> None:
    """In the middle of an epoch, a method that takes over the state, its inputs named in reverse, goes on the same."""
    first, second = practised(spec), build(spec, list(WIDTHS)[::-1])
    second.load_state_dict(first.state_dict())
    for step in range(2):
        rows = some_rows(seed=30 + step)
        _assert_same(bench().step(second, rows, key=step), bench().step(first, rows, key=step), "after a state_dict")
        for throttle in (first, second):
            throttle.epoch_end(validated(9 + step))
    for name, shown in first.keep(_present(some_rows()), KEYS).items():
        again = second.keep(_present(some_rows()), KEYS)[name]
        suite.assert_same_bits(again, shown, f"who is shown {name!r} after a state_dict")


CHECKS: tuple[Callable[[ThrottleSpec], None], ...] = (
    spec_survives_json,
    forward_is_the_identity,
    evaluation_is_plain,
    inputs_go_by_name,
    absent_inputs_cost_nothing,
    labels_may_be_missing,
    hidden_content_does_not_matter,
    terms_teach_every_single_head,
    chance_is_passed_in,
    rows_keep_an_input,
    row_weights_are_fair,
    one_input_is_left_alone,
    nothing_learns_unseen,
    state_dict_is_all,
)


def _present(rows: Rows) -> Mapping[str, Tensor]:
    return {name: one.present for name, one in rows.tokens.items()}


def _spoilt(tokens: Tokens, filler: float) -> Tokens:
    stand_in = torch.where(tokens.present[:, None, None], tokens.values, 0.7)
    return Tokens(torch.where(tokens.mask[:, :, None], stand_in, filler), tokens.mask, tokens.present)


def _assert_same(found: Seen, expected: Seen, what: str) -> None:
    assert found.terms.keys() == expected.terms.keys(), f"{what}: other terms"
    assert found.factors == expected.factors, f"{what}: factors {found.factors} instead of {expected.factors}"
    for one, other in zip(found.numbers(), expected.numbers(), strict=True):
        suite.assert_same_bits(one, other, what)


def _assert_finite(seen: Seen, what: str) -> None:
    assert all(bool(number.isfinite().all()) for number in seen.numbers()), f"{what}: something is not finite"
