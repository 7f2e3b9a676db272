"""Tagging: labels as they are written, words that stand beside their tags, what is learned and what is scored."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score
from torch import Tensor

from motet.core.errors import CellError, DataError, SpecError
from motet.core.flow import Cells, Tokens
from motet.tasks import Tagging, TaggingCodec
from motet.tasks.part import Reading, Source
from motet.tasks.tagging.head import TaggingHead, first_tokens

TAGS = ("ADJ", "NOUN", "VERB")


def codec_of(*cells: object, **fields: Any) -> TaggingCodec:
    return Tagging(of="note", **fields).fit(cells, {})


PLAIN = codec_of(["ADJ", "NOUN"], ["VERB"])
NAMES = codec_of(["B-place", "I-place", "O"], ["B-time"])


# --- labels


@pytest.mark.parametrize(
    ("cell", "numbers"),
    [
        (["NOUN", "VERB"], [1, 2]),
        ("NOUN|VERB", [1, 2]),
        ("NOUN  VERB", [1, 2]),
        ("NOUN", [1]),
        ("NOUN| |VERB", [1, -1, 2]),
        ('["NOUN", null, "ADJ"]', [1, -1, 0]),
        ("[]", []),
        ("[NOUN]", [-2]),
        (["NOUN", None, "", "ADJ"], [1, -1, -1, 0]),
        (["PRON", "ADJ"], [-2, 0]),
        ([], []),
    ],
)
def test_labels_by_hand(cell: object, numbers: list[int]) -> None:
    assert PLAIN.read(cell).tolist() == numbers
    assert PLAIN.knows(cell) == (-2 not in numbers)


def test_another_separator_and_spellings_of_no_tag() -> None:
    codec = codec_of("a b;c", "c;-", separator=";", missing=("-",))
    assert codec.tags == ("a b", "c")
    assert codec.read("c;-;a b").tolist() == [1, -1, 0]


@pytest.mark.parametrize("cell", [{"a": 1}, [["NOUN"]], [b"NOUN"], ["NOUN", math.nan]])
def test_other_things_are_no_tags(cell: object) -> None:
    with pytest.raises(CellError):
        PLAIN.read(cell)


def test_tags_keep_their_type_and_are_matched_by_text() -> None:
    codec = codec_of([3, 1], [2, 3])
    assert codec.tags == (1, 2, 3)
    assert codec.read("3|1").tolist() == [2, 0]
    assert codec.decode(torch.tensor([[2, 0, -1]]))[""] == [[3, 1]]


@pytest.mark.parametrize(
    ("words", "fits"),
    [
        (["a", "b"], True),
        ("a b", True),
        (" a  b ", True),
        ("a", False),
        (["a b"], False),
        (b"sound", True),
        ([], False),
    ],
)
def test_there_are_as_many_tags_as_words(words: object, fits: bool) -> None:
    """A text that can not be read is not for the tags to complain about."""
    if fits:
        assert len(PLAIN.read((["NOUN", "VERB"], words))) == 2
        return
    with pytest.raises(CellError, match=r"2 tags for \d words?$"):
        PLAIN.read((["NOUN", "VERB"], words))


def test_the_scheme_is_found() -> None:
    assert (PLAIN.scheme, NAMES.scheme) == ("none", "bio")
    assert codec_of(["B-a", "O"], scheme="none").scheme == "none"
    spec = Tagging(of="note")
    assert spec.resolved(NAMES).scheme == "bio"
    with pytest.raises(DataError, match="'NOUN' is not of the scheme BIO"):
        codec_of(["NOUN", "B-a"], scheme="bio")
    with pytest.raises(CellError, match="'NOUN' is not of the scheme BIO"):
        NAMES.read(["NOUN"])


def test_what_can_not_be_learned_is_said() -> None:
    with pytest.raises(DataError, match="no word of a training row has a tag"):
        codec_of([], [None])
    with pytest.raises(DataError, match="has the same one, 'O'"):
        codec_of(["O", "O"])


def test_the_text_is_found_by_itself() -> None:
    assert Tagging().reading({"note": "text", "age": "number"}).reads == ("note",)
    for kinds in ({"age": "number"}, {"note": "text", "title": "text"}):
        with pytest.raises(SpecError, match="a tagging task reads an input of kind text"):
            Tagging().reading(kinds)


# --- answers


def test_answers_by_hand() -> None:
    output = torch.tensor([[0, 2, 1], [1, -1, -1], [-1, -1, -1], [-2, -1, -1], [0, -1, 2]])
    answers = PLAIN.decode(output)
    assert answers == {"": [["ADJ", "VERB", "NOUN"], ["NOUN"], [], None, ["ADJ", None, "VERB"]]}


def test_entities_go_with_the_answer() -> None:
    begin, inside, outside = (NAMES.tags.index(tag) for tag in ("B-place", "I-place", "O"))
    answers = NAMES.decode(torch.tensor([[begin, inside, outside], [outside, -1, -1], [-2, -1, -1]]))
    assert answers["entities"] == [[{"type": "place", "start": 0, "end": 2}], [], None]


# --- scores


def scores(codec: TaggingCodec, output: list[list[int]], target: list[list[int]]) -> dict[str, float]:
    return {one.name: one.compute(torch.tensor(output), torch.tensor(target)) for one in codec.metrics()}


def test_scores_by_hand() -> None:
    """Of five labelled words three are right; one has no answer."""
    found = scores(PLAIN, [[0, 1, 1], [2, 2, -1]], [[0, 1, 2], [2, -1, -1]])
    assert found["accuracy"] == pytest.approx(3 / 4)
    assert found["f1"] == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)
    assert scores(PLAIN, [[0]], [[0, 1]])["accuracy"] == 0.5, "a word behind the end of the answer is a miss"
    assert scores(PLAIN, [[-2, -1]], [[0, 1]])["accuracy"] == 0.0, "so is one of a text that is absent"
    assert scores(PLAIN, [[0, 1]], [[-2, 1]])["accuracy"] == 0.5, "and a tag that is not known"
    begin, inside, outside = (NAMES.tags.index(tag) for tag in ("B-place", "I-place", "O"))
    found = scores(NAMES, [[begin, inside, begin], [begin, -1, -1]], [[begin, inside, outside], [begin, inside, -1]])
    assert found["f1"] == pytest.approx(2 * 1 / (3 + 2))
    found = scores(NAMES, [[begin, inside]], [[begin, -1]])
    assert found["f1"] == 1.0, "a word without a label is in no entity"


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_f1_is_that_of_scikit_learn(data: st.DataObject) -> None:
    rows = st.lists(st.lists(st.integers(-1, 2), min_size=4, max_size=4), min_size=1, max_size=5)
    target = np.array(data.draw(rows))
    output = np.array(data.draw(st.lists(st.integers(0, 2), min_size=target.size, max_size=target.size)))
    kept = target >= 0
    found = scores(PLAIN, output.reshape(target.shape).tolist(), target.tolist())
    if not kept.any():
        assert math.isnan(found["f1"])
        assert math.isnan(found["accuracy"])
        return
    said, true = output.reshape(target.shape)[kept], target[kept]
    there = sorted({*said.tolist(), *true.tolist()})
    assert found["f1"] == pytest.approx(f1_score(true, said, average="macro", labels=there))
    assert found["accuracy"] == pytest.approx((said == true).mean())


def test_the_baseline_says_the_most_frequent_tag() -> None:
    target = torch.tensor([[0, 1, 1], [1, -1, -1]])
    prior = PLAIN.prior(target)
    assert prior.argmax() == 1
    torch.testing.assert_close(prior.exp(), torch.tensor([1.5, 3.5, 0.5]) / 5.5)
    assert PLAIN.trivial(prior, target).tolist() == [[1, 1, 1], [1, -1, -1]]


# --- the head


def reading(words: list[list[int]], *, width: int = 3, present: list[bool] | None = None) -> Reading:
    word = torch.tensor(words)
    torch.manual_seed(0)
    there = torch.ones(len(words), dtype=torch.bool) if present is None else torch.tensor(present)
    values = torch.randn(*word.shape, width)
    return Reading(torch.randn(len(words), 2), {"note": Tokens(values, word >= -1, there, word)})


def head_of(num_tags: int = 3) -> TaggingHead:
    torch.manual_seed(1)
    return TaggingHead(input="note", source_width=3, input_width=2, num_tags=num_tags, mean_words=2.5)


def by_hand(head: TaggingHead, given: Reading, row: int) -> list[Tensor]:
    """The logits of each word, from its first token."""
    tokens, found, seen = given.tokens["note"], [], set()
    assert tokens.word is not None
    for place, word in enumerate(tokens.word[row].tolist()):
        if word >= 0 and word not in seen:
            seen.add(word)
            found.append(
                head.words.weight @ tokens.values[row, place]
                + head.features.weight @ given.features[row]
                + head.words.bias
            )
    return found


@pytest.mark.parametrize("words", [[[-1, 0, 0, 1, 2, 2], [-1, 0, 1, -1, -1, -1]], [[-1, -1, -1], [-1, 0, 0]]])
def test_loss_and_answer_are_those_of_first_tokens(words: list[list[int]]) -> None:
    given, head = reading(words), head_of()
    labels = torch.tensor([[1, -1, 2, 0, 0], [0, -2, -1, -1, -1]])
    losses = head(given, Cells({"target": labels}, torch.ones(2, dtype=torch.bool)))
    answers = head.answer(given)
    for row in range(2):
        logits = by_hand(head, given, row)
        pairs = [(one, int(label)) for one, label in zip(logits, labels[row], strict=False) if label >= 0]
        each = [-(one.log_softmax(0)[label]) for one, label in pairs]
        expected = torch.stack(each).sum() / 2.5 if each else torch.zeros(())
        torch.testing.assert_close(losses[row], expected)
        said = [int(one.argmax()) for one in logits]
        assert answers[row].tolist() == said + [-1] * (answers.shape[1] - len(said))


def test_a_row_without_the_text_has_no_answer() -> None:
    answers = head_of().answer(reading([[-1, 0, 1], [-1, -1, -1]], present=[True, False]))
    assert answers[1].tolist() == [-2, -1, -1]
    assert PLAIN.decode(answers)[""][1] is None


def test_each_word_counts_the_same_in_texts_of_any_length() -> None:
    codec = codec_of(["ADJ", "NOUN", None], ["VERB"], [None], "a b c")  # 2, 1, none, 3
    assert codec.mean_words == 2.0


def test_words_behind_the_end_of_the_text_cost_nothing() -> None:
    given, head = reading([[-1, 0, 0, 1]]), head_of()
    present = torch.ones(1, dtype=torch.bool)
    short, long = ([[1, 2]], [[1, 2, 0, 0, 0, 0]])
    losses = [head(given, Cells({"target": torch.tensor(one)}, present)) for one in (short, long)]
    assert torch.equal(*losses)


def test_a_row_without_any_labelled_word_costs_nothing() -> None:
    given, head = reading([[-1, 0, 1]]), head_of()
    loss = head(given, Cells({"target": torch.tensor([[-1, -2]])}, torch.ones(1, dtype=torch.bool)))
    loss.sum().backward()
    assert loss.item() == 0.0
    assert not head.words.weight.grad.any()  # type: ignore[union-attr]


def test_first_tokens_pass_gradients_to_themselves_alone() -> None:
    given = reading([[-1, 0, 0, 1]])
    tokens = given.tokens["note"]
    values = tokens.values.clone().requires_grad_()
    found, _ = first_tokens(Tokens(values, tokens.mask, tokens.present, tokens.word))
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None
    assert values.grad[0, :, 0].tolist() == [0.0, 1.0, 0.0, 1.0]


def test_an_untrained_head_answers_the_prior() -> None:
    head, prior = head_of(), torch.tensor([0.0, 3.0, -1.0])
    head.start_from(prior)
    tokens = reading([[-1, 0, 1]]).tokens["note"]
    nothing = Reading(
        torch.zeros(1, 2), {"note": Tokens(torch.zeros(1, 3, 3), tokens.mask, tokens.present, tokens.word)}
    )
    assert head.answer(nothing)[0].tolist() == [1, 1, -1]


def test_a_text_whose_words_are_not_told_apart_is_refused() -> None:
    source = Source(width=3, reader=PLAIN)
    with pytest.raises(SpecError, match=r"not told apart; set inputs\.note\.words: true"):
        Tagging(of="note").build(PLAIN, 2, {"note": source})
