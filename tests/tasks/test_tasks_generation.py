"""Tasks that write text: what they learn from, what they write, and how that is scored."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sacrebleu.metrics import BLEU, CHRF
from torch import Tensor
from torchmetrics.functional.text.rouge import rouge_score

from motet.core.errors import CellError, DataError, SpecError
from motet.core.flow import Cells, Tokens
from motet.core.seed import generator
from motet.nn import keys_of, row_keys, salt_dropouts
from motet.tasks import Generation, GenerationCodec, Reading, Source
from motet.tasks.generation import BeamSearch, GenerationHead, GreedySearch, Sample
from motet.tasks.generation.head import divergence
from motet.testing import suite

KINDS = {"note": "text", "photo": "image"}
WORDS = ["a", "dog", "runs", "slowly", "over", "the", "green", "grass", "1,000", "x-ray", "Straße", "it's", "."]
TEXTS = [
    f"{who} {does} {where}" for who in ("a dog", "two cats") for does in ("runs", "sleeps") for where in ("", "in")
]


def codec_of(texts: Sequence[object] = TEXTS, **fields: Any) -> GenerationCodec:
    return Generation(**fields).fit(texts, {})


def cells_of(codec: GenerationCodec, texts: Sequence[object]) -> Cells:
    values = codec.batch([codec.read(text) for text in texts])
    return Cells(values, torch.ones(len(texts), dtype=torch.bool))


def built(spec: Generation, codec: GenerationCodec, *, seed: int = 0) -> GenerationHead:
    """A head for features of width 6, a note of width 5 and a photo of width 3, seeded, in evaluation mode."""
    sources = {"note": Source(5, None), "photo": Source(3, None)}  # type: ignore[arg-type]
    head = suite.seeded(
        lambda: spec.reading(KINDS).build(codec, 6, {name: sources[name] for name in reads(spec)}), seed
    )
    assert isinstance(head, GenerationHead)
    return head


def reads(spec: Generation) -> tuple[str, ...]:
    return spec.reading(KINDS).reads


def small(**fields: Any) -> Generation:
    return Generation(**({"width": 8, "heads": 2, "layers": 2, "vocabulary": 300} | fields))


def reading_of(num_rows: int, *, names: Sequence[str] = ("note", "photo"), without: Any = ()) -> Reading:
    """Notes of up to four tokens and photos of two; `without` are pairs of an input and a row that lacks it."""
    chance = torch.Generator().manual_seed(1)
    widths, lengths = {"note": 5, "photo": 3}, {"note": 4, "photo": 2}
    tokens = {}
    for name in names:
        present = torch.tensor([(name, row) not in without for row in range(num_rows)])
        count = 1 + torch.arange(num_rows) % lengths[name]
        mask = torch.where(
            present[:, None], torch.arange(lengths[name]) < count[:, None], torch.arange(lengths[name]) < 1
        )
        values = torch.randn(num_rows, lengths[name], widths[name], generator=chance)
        tokens[name] = Tokens(values.masked_fill(~mask[:, :, None], 0.0), mask, present)
    return Reading(torch.randn(num_rows, 6, generator=chance), tokens)


def ids_of(row: Tensor) -> list[int]:
    return [one for one in row.tolist() if one >= 0]


# --- texts as ids


def test_a_text_is_its_ids_and_an_end_and_comes_back_in_one_spelling() -> None:
    codec = codec_of()
    target = cells_of(codec, ["two  cats\n sleeps", "Straße ﬁn 🐈"]).values["target"]
    assert [ids_of(row)[-1] for row in target] == [0, 0]
    assert codec.decode(target)[""] == ["two cats sleeps", "Straße fin 🐈"]
    assert codec_of(lowercase=True).decode(cells_of(codec_of(lowercase=True), ["Two CATS"]).values["target"])[""] == [
        "two cats"
    ]


def test_labels_are_text_as_written() -> None:
    codec = codec_of([5.0, True, "five"])
    assert codec.decode(cells_of(codec, [5.0, True, np.float64(2.5)]).values["target"])[""] == ["5", "true", "2.5"]
    for bad in ({"no": "text"}, ["a"], float("nan"), b"a"):
        with pytest.raises(CellError):
            codec.read(bad)


def test_an_empty_text_is_an_answer_and_a_row_of_padding_is_none() -> None:
    codec = codec_of()
    assert codec.decode(torch.tensor([[0, -1], [-1, -1]]))[""] == ["", None]
    assert codec.decode(torch.zeros(2, 0, dtype=torch.int64))[""] == [None, None]


def test_nothing_to_learn_from_is_said() -> None:
    for texts in ([], ["", "  "], [{"no": "text"}]):
        with pytest.raises(DataError, match="no training row has a text"):
            codec_of(texts)


def test_auto_is_twice_the_longest_but_for_a_hundredth_with_the_end() -> None:
    lengths = [20] * 99 + [200]
    texts = [" ".join(chr(97 + (row * place) % 26) for place in range(n)) for row, n in enumerate(lengths)]
    codec = codec_of(texts, vocabulary=257)
    quantile = np.quantile([len(codec.tokenizer.encode(text)) + 1 for text in texts], 0.99)
    assert codec.max_tokens == 2 * math.ceil(quantile)
    assert codec_of().max_tokens == 16
    assert codec_of(["a" * 900], vocabulary=257).max_tokens == 256
    assert codec_of(max_tokens=3).max_tokens == 3


def test_the_prior_is_the_text_most_like_the_others() -> None:
    texts = ["no", "yes", "it may be", "no", "perhaps", "yes", "no"]
    codec = codec_of(texts)
    target = cells_of(codec, texts).values["target"]
    prior = codec.prior(target)
    assert codec.decode(codec.trivial(prior, target))[""] == ["no"] * 7
    assert codec.decode(prior[None])[""] == ["no"]

    texts = ["a red dog", "a red cat", "a blue dog", "nothing at all"]
    codec = codec_of(texts)
    bags = [np.bincount(codec.read(text)[:-1], minlength=codec.num_ids) for text in texts]
    likeness = [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in bags] for a in bags]
    found = codec.prior(cells_of(codec, texts).values["target"])
    assert codec.decode(found[None])[""] == [texts[int(np.argmax(np.mean(likeness, axis=1)))]]


def test_a_bundle_can_hold_the_prior() -> None:
    codec = codec_of()
    target = cells_of(codec, TEXTS).values["target"]
    again = torch.tensor(json.loads(json.dumps(codec.prior(target).tolist())))
    assert torch.equal(codec.trivial(again, target), codec.trivial(codec.prior(target), target))


# --- scores


def test_scores_are_those_of_sacrebleu_and_rouge() -> None:
    chance = generator("generation scores")
    answers, truths = (
        [" ".join(chance.choice(WORDS, size=int(chance.integers(1, 12)))) for _ in range(40)] for _ in range(2)
    )
    truths = [truth if row % 3 else answer for row, (answer, truth) in enumerate(zip(answers, truths, strict=True))]
    codec = codec_of(answers + truths)
    output, target = (cells_of(codec, texts).values["target"] for texts in (answers, truths))
    scores = {one.name: one.compute(output, target) for one in codec.metrics()}
    assert scores["chrf"] == pytest.approx(CHRF().corpus_score(answers, [truths]).score, abs=1e-9)
    assert scores["bleu"] == pytest.approx(BLEU().corpus_score(answers, [truths]).score, abs=1e-9)
    english = [(a, t) for a, t in zip(answers, truths, strict=True) if (a + t).isascii()]
    output, target = (cells_of(codec, texts).values["target"] for texts in zip(*english, strict=True))
    rouge = np.mean([float(rouge_score(a, t, rouge_keys="rougeL")["rougeL_fmeasure"]) for a, t in english])
    found = {one.name: one.compute(output, target) for one in codec.metrics()}
    assert found["rouge_l"] == pytest.approx(100 * rouge, abs=1e-4)


def test_no_answer_is_a_miss() -> None:
    codec = codec_of()
    target = cells_of(codec, ["a dog runs in", "two cats sleeps in"]).values["target"]
    output = target.clone()
    output[1] = -1
    for metric in codec.metrics():
        assert metric.compute(target, target) == 100.0
        assert metric.compute(output, target) < 80.0
        assert math.isnan(metric.compute(output[:0], target[:0]))


def test_truths_longer_than_any_answer_are_held_against_it_whole() -> None:
    codec = codec_of(["one two three four five"], max_tokens=3)
    target = cells_of(codec, ["one two three four five"]).values["target"]
    assert target.shape[1] > 3
    assert codec.decode(target)[""] == ["one two three four five"]


# --- losses


def test_the_divergence_is_what_the_equation_says() -> None:
    logits, wanted = (
        torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0)),
        torch.tensor([[1, 4, 0], [2, -1, -1]]),
    )
    found = divergence(logits, wanted, smoothing=0.2)
    for row in range(2):
        for place in range(3):
            p = np.exp(logits[row, place].double().numpy())
            p /= p.sum()
            expected = 0.0
            for id in range(5):
                q = 0.2 / 5 + (0.8 if id == int(wanted[row, place]) else 0.0)
                expected += q * math.log(q / p[id])
            assert float(found[row, place]) == pytest.approx(expected if wanted[row, place] >= 0 else 0.0, abs=1e-5)
    plain = torch.tensor([[[0.5, 0.25, 0.25]]]).log()
    assert float(divergence(plain, torch.tensor([[0]]), smoothing=0.0)) == pytest.approx(math.log(2))


def test_its_gradient_is_that_of_cross_entropy_with_label_smoothing() -> None:
    logits, wanted = torch.randn(2, 3, 5, requires_grad=True), torch.tensor([[1, 4, 0], [2, 3, 0]])
    (found,) = torch.autograd.grad(divergence(logits, wanted, smoothing=0.1).sum(), logits)
    entropy = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), wanted.flatten(), label_smoothing=0.1, reduction="sum"
    )
    torch.testing.assert_close(found, torch.autograd.grad(entropy, logits)[0])


def test_a_row_costs_the_mean_of_its_ids() -> None:
    target = Cells({"target": torch.tensor([[5, 7, 0], [4, 0, -1], [-1, -1, -1]])}, torch.tensor([True, True, False]))
    output = torch.tensor([[1.0, 2.0, 6.0], [3.0, 1.0, 0.0], [torch.nan, 1.0, 1.0]])
    assert Generation().loss(output, target).tolist() == [3.0, 2.0, 0.0]
    assert Generation().loss(output[:, :2], target).tolist() == [1.5, 2.0, 0.0]


@pytest.mark.parametrize("max_tokens", ["auto", 3])
def test_teacher_forcing_says_what_step_by_step_says(max_tokens: Any) -> None:
    texts = ["a dog runs", "two cats", "", "a dog runs over two cats in"]
    spec = small(max_tokens=max_tokens)
    codec = codec_of(TEXTS, vocabulary=300, max_tokens=max_tokens)
    head, reading, target = built(spec, codec), reading_of(4, without=[("photo", 1)]), cells_of(codec, texts)
    losses = head(reading, target)
    with torch.no_grad():
        memory, mask = head._memory(reading)
        state = head.decoder.start(memory, mask)
        before = torch.zeros(4, dtype=torch.int64)
        for place in range(losses.shape[1]):
            logits, state = head.decoder.step(before, state)
            before = target.values["target"][:, place]
            expected = divergence(logits[:, None], before[:, None], smoothing=0.1)
            torch.testing.assert_close(losses[:, place], expected[:, 0], atol=1e-5, rtol=1e-4)
    assert losses.shape[1] == min(target.values["target"].shape[1], codec.max_tokens)


def test_rows_learned_from_in_groups_by_length_learn_as_they_would_alone() -> None:
    """With dropout too: its masks follow the keys of the rows into their groups."""
    spec, codec = small(dropout=0.3), codec_of(vocabulary=300)
    texts = [" ".join(["dog"] * (1 + (7 * row) % 11)) for row in range(70)]
    head, target, reading = built(spec, codec).train(), cells_of(codec, texts), reading_of(70)
    salt_dropouts(head, 0)
    keys = keys_of(torch.arange(70), 0)
    with row_keys(keys):
        together = head(reading, target)
    for row in (0, 5, 33, 69):
        one = torch.tensor([row])
        with row_keys(keys[one]):
            alone = head(reading.rows(one), target.rows(one))
        torch.testing.assert_close(alone[0], together[row, : alone.shape[1]], atol=1e-5, rtol=1e-4)
        assert not together[row, int((target.values["target"][row] >= 0).sum()) :].any()
    with row_keys(keys + 1):
        assert not torch.allclose(head(reading, target), together)


def test_in_reduced_precision_the_loss_is_still_float32() -> None:
    codec = codec_of(vocabulary=300)
    head, target, reading = built(small(), codec), cells_of(codec, TEXTS), reading_of(len(TEXTS))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = head(reading, target)
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses, head(reading, target), atol=0.1, rtol=0.05)


# --- reading


def test_every_input_and_the_features_are_heard() -> None:
    codec = codec_of(vocabulary=300)
    head, target, reading = built(small(), codec), cells_of(codec, TEXTS[:3]), reading_of(3)
    before = head(reading, target)
    changed = [Reading(reading.features + 1, reading.tokens)]
    for name, one in reading.tokens.items():
        other = Tokens(one.values + one.mask[:, :, None], one.mask, one.present)
        changed.append(Reading(reading.features, {**reading.tokens, name: other}))
    assert len(changed) == 3
    for other_reading in changed:
        assert not torch.allclose(head(other_reading, target), before)


def test_what_stands_for_an_absent_input_is_not_read() -> None:
    codec = codec_of(vocabulary=300)
    head, target = built(small(), codec), cells_of(codec, TEXTS[:3])
    reading = reading_of(3, without=[("note", 0), ("photo", 2)])
    poisoned = {
        name: Tokens(one.values.masked_fill(~one.present[:, None, None], torch.nan), one.mask, one.present)
        for name, one in reading.tokens.items()
    }
    other = Reading(reading.features, poisoned)
    suite.assert_same_bits(head(other, target), head(reading, target), "losses")
    suite.assert_same_bits(head.answer(other), head.answer(reading), "answers")


def test_a_row_is_answered_unless_it_lacks_all_it_reads() -> None:
    spec, codec = small(), codec_of(vocabulary=300)
    head = built(spec, codec)
    reading = reading_of(3, without=[("note", 0), ("note", 1), ("photo", 1)])
    assert [one is None for one in codec.decode(head.answer(reading))[""]] == [False, True, False]
    present = {name: one.present for name, one in reading.tokens.items()}
    assert spec.reading(KINDS).known(present).tolist() == [True, False, True]
    nobody = head.answer(reading_of(2, without=[(name, row) for name in KINDS for row in range(2)]))
    assert codec.decode(nobody)[""] == [None, None]


def test_only_the_inputs_that_are_named_are_read() -> None:
    assert reads(Generation()) == ("note", "photo")
    assert reads(Generation(of=("photo", "note"))) == ("note", "photo")
    assert reads(Generation(of=("photo",))) == ("photo",)
    assert "note" not in built(small(of=("photo",)), codec_of(vocabulary=300)).tokens
    with pytest.raises(SpecError, match="there is no input 'fotos'; did you mean 'photo'"):
        Generation(of=("fotos",)).reading(KINDS)
    with pytest.raises(ValidationError, match="at least 1 item"):
        Generation(of=())


def test_heads_divide_the_width() -> None:
    with pytest.raises(ValidationError, match="the 4 heads of the decoder must divide its width 6"):
        Generation(width=6)


# --- writing


def log_probability(head: GenerationHead, reading: Reading, ids: Tensor) -> Tensor:
    """That of each row's ids and end, by `forward`."""
    losses: Tensor = head(reading, Cells({"target": ids}, torch.ones(len(ids), dtype=torch.bool)))
    return -losses.sum(dim=1)


def searched(search: Any, codec: GenerationCodec) -> GenerationHead:
    """A head that is surer than an untrained one, and not of the id it wrote last, which is most like itself."""
    head = built(small(search=search, smoothing=0.0, max_tokens=6), codec)
    with torch.no_grad():
        head.decoder.norm.weight.copy_(3 * torch.randn(8, generator=torch.Generator().manual_seed(0)))
    return head


def test_a_wide_beam_finds_what_is_likelier() -> None:
    codec, reading = codec_of(vocabulary=257, max_tokens=6), reading_of(12)
    found = {}
    for name, search in {
        "greedy": "greedy",
        "one": {"kind": "beam", "width": 1},
        "beam": BeamSearch(width=8, length_penalty=0.0),
    }.items():
        head = searched(search, codec)
        found[name] = head.answer(reading)
    assert torch.equal(found["greedy"], found["one"])
    head = searched("greedy", codec)
    greedy, beam = (log_probability(head, reading, found[name]) for name in ("greedy", "beam"))
    assert bool((beam >= greedy - 1e-4).all())
    assert bool((beam > greedy + 1e-3).any())


def test_chance_repeats_itself_and_another_seed_is_another_chance() -> None:
    codec, reading = codec_of(vocabulary=257, max_tokens=6), reading_of(4)
    first = searched(Sample(), codec).answer(reading)
    assert torch.equal(searched(Sample(), codec).answer(reading), first)
    alone = searched(Sample(), codec).answer(reading.rows(torch.tensor([2])))
    assert ids_of(alone[0]) == ids_of(first[2])
    assert not torch.equal(searched(Sample(seed=1), codec).answer(reading), first)
    likeliest = searched(GreedySearch(), codec).answer(reading)
    assert torch.equal(searched(Sample(top_k=1), codec).answer(reading), likeliest)
    assert torch.equal(searched(Sample(top_p=1e-6), codec).answer(reading), likeliest)
    assert torch.equal(searched(Sample(temperature=1e-4), codec).answer(reading), likeliest)


def test_what_is_written_is_no_longer_than_asked_and_has_an_end() -> None:
    codec = codec_of(vocabulary=300, max_tokens=3)
    output = built(small(search="greedy", max_tokens=3), codec).answer(reading_of(5))
    assert output.dtype == torch.int64
    for row in output:
        ids = ids_of(row)
        assert ids[-1] == 0
        assert 0 not in ids[:-1]
        assert len(ids) <= 4
