from collections.abc import Sequence

import pytest

from evalsuite.smolvlm.prefix_sharing import PrefixGroup, arrange_rows, batch_shape, group_by_media

IMAGE = [7] * 10


def arranged(prompts: Sequence[list[int]], media: Sequence[tuple[str, ...]]) -> list[PrefixGroup]:
    return arrange_rows(group_by_media(prompts, media))


def test_prompts_with_one_image_share_the_longest_prefix() -> None:
    prompts = [[1, *IMAGE, 2, 3], [1, *IMAGE, 2, 4, 5], [1, *IMAGE, 2, 9]]
    assert arranged(prompts, [("a",)] * 3) == [PrefixGroup((0, 1, 2), 12, (1, 2, 1))]


def test_different_images_are_not_shared() -> None:
    prompts = [[1, *IMAGE, 2]] * 4
    media = [("a",), ("b",), ("a",), ("b",)]
    expected = [PrefixGroup((0, 2), 11, (1, 1)), PrefixGroup((1, 3), 11, (1, 1))]
    assert arranged(prompts, media) == expected


def test_a_single_prompt_is_split_to_the_rest_length_of_the_others() -> None:
    prompts = [[1, *IMAGE, 2, 3], [1, *IMAGE, 4], [1, *IMAGE, 5, 6, 7], [8]]
    media = [("a",), ("a",), ("b",), ()]
    assert arranged(prompts, media) == [
        PrefixGroup((0, 1), 11, (2, 1)),
        PrefixGroup((2,), 11, (3,)),
        PrefixGroup((3,), 0, (1,)),
    ]


@pytest.mark.parametrize("same", [[1, *IMAGE], [1]])
def test_the_last_token_is_never_shared(same: list[int]) -> None:
    (found,) = group_by_media([same, same], [("a",), ("a",)])
    assert found == PrefixGroup((0, 1), len(same) - 1, (1, 1))


def test_no_sharing_for_small_savings() -> None:
    lone = [list(range(100, 140)) for _ in range(6)]
    prompts = [*lone, [1, *IMAGE, 2], [1, *IMAGE, 3]]
    media = [*[(str(i),) for i in range(6)], ("a",), ("a",)]
    alone = [PrefixGroup((i,), 0, (len(prompt),)) for i, prompt in enumerate(prompts)]
    assert arranged(prompts, media) == alone
    assert arranged(lone, [()] * 6) == alone[:6]
    assert group_by_media(prompts, media, share=False) == alone


def test_batch_size_counts_shared_tokens_once_and_padding() -> None:
    assert batch_shape([PrefixGroup((0, 1, 2), 12, (1, 2, 1))]).tokens == 16
    assert batch_shape(
        [PrefixGroup((0, 1, 2), 12, (1, 2, 1)), PrefixGroup((3,), 5, (9,))]
    ).tokens == 2 * (12 + 9)


@pytest.mark.parametrize("alone", [1, 5, 11, 25])
def test_batch_shape_equals_the_shape_of_the_arranged_rows(alone: int) -> None:
    prompts = [[1, *IMAGE, 2, 3], [1, *IMAGE, 4, 5, 6], list(range(100, 100 + alone))]
    groups = group_by_media(prompts, [("a",), ("a",), ("b",)])
    rows = arrange_rows(groups)
    assert len(rows) == 2
    longest = max(row.shared for row in rows) + max(row.rest for row in rows)
    assert batch_shape(groups).tokens == 2 * longest == 2 * max(16, alone)


def test_a_group_is_split_to_fit() -> None:
    whole = PrefixGroup((4, 5, 6), 12, (1, 2, 3))
    assert [whole.members_within(tokens) for tokens in (0, 12, 14, 15, 17, 18, 99)] == [
        1,
        1,
        1,
        2,
        2,
        3,
        3,
    ]
    assert whole.split(2) == (PrefixGroup((4, 5), 12, (1, 2)), PrefixGroup((6,), 12, (3,)))
