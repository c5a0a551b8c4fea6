from collections.abc import Sequence

import pytest

from evalsuite.smolvlm.prefix_sharing import Group, arrange, extent, group

IMAGE = [7] * 10


def arranged(prompts: Sequence[list[int]], media: Sequence[tuple[str, ...]]) -> list[Group]:
    return arrange(group(prompts, media))


def test_prompts_about_one_image_share_its_tokens_and_what_follows_alike() -> None:
    prompts = [[1, *IMAGE, 2, 3], [1, *IMAGE, 2, 4, 5], [1, *IMAGE, 2, 9]]
    assert arranged(prompts, [("a",)] * 3) == [Group((0, 1, 2), 12, (1, 2, 1))]


def test_equal_tokens_of_other_images_are_not_shared() -> None:
    prompts = [[1, *IMAGE, 2]] * 4
    media = [("a",), ("b",), ("a",), ("b",)]
    expected = [Group((0, 2), 11, (1, 1)), Group((1, 3), 11, (1, 1))]
    assert arranged(prompts, media) == expected


def test_a_prompt_alone_is_cut_where_its_rest_is_as_long_as_the_others() -> None:
    prompts = [[1, *IMAGE, 2, 3], [1, *IMAGE, 4], [1, *IMAGE, 5, 6, 7], [8]]
    media = [("a",), ("a",), ("b",), ()]
    assert arranged(prompts, media) == [
        Group((0, 1), 11, (2, 1)),
        Group((2,), 11, (3,)),
        Group((3,), 0, (1,)),
    ]


@pytest.mark.parametrize("same", [[1, *IMAGE], [1]])
def test_of_the_same_prompt_twice_the_last_token_is_read_twice(same: list[int]) -> None:
    (found,) = group([same, same], [("a",), ("a",)])
    assert found == Group((0, 1), len(same) - 1, (1, 1))


def test_nothing_is_shared_where_it_would_save_little() -> None:
    lone = [list(range(100, 140)) for _ in range(6)]
    prompts = [*lone, [1, *IMAGE, 2], [1, *IMAGE, 3]]
    media = [*[(str(i),) for i in range(6)], ("a",), ("a",)]
    alone = [Group((i,), 0, (len(prompt),)) for i, prompt in enumerate(prompts)]
    assert arranged(prompts, media) == alone
    assert arranged(lone, [()] * 6) == alone[:6]
    assert group(prompts, media, share=False) == alone


def test_what_is_shared_counts_once_and_padding_counts() -> None:
    assert extent([Group((0, 1, 2), 12, (1, 2, 1))]).tokens == 16
    assert extent([Group((0, 1, 2), 12, (1, 2, 1)), Group((3,), 5, (9,))]).tokens == 2 * (12 + 9)


@pytest.mark.parametrize("alone", [1, 5, 11, 25])
def test_the_size_of_a_batch_is_that_of_its_rows(alone: int) -> None:
    prompts = [[1, *IMAGE, 2, 3], [1, *IMAGE, 4, 5, 6], list(range(100, 100 + alone))]
    groups = group(prompts, [("a",), ("a",), ("b",)])
    rows = arrange(groups)
    assert len(rows) == 2
    longest = max(row.shared for row in rows) + max(row.rest for row in rows)
    assert extent(groups).tokens == 2 * longest == 2 * max(16, alone)


def test_a_group_is_cut_to_what_fits() -> None:
    whole = Group((4, 5, 6), 12, (1, 2, 3))
    assert [whole.within(tokens) for tokens in (0, 12, 14, 15, 17, 18, 99)] == [1, 1, 1, 2, 2, 3, 3]
    assert whole.cut(2) == (Group((4, 5), 12, (1, 2)), Group((6,), 12, (3,)))
