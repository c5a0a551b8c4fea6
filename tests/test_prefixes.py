import pytest

from evalsuite.smolvlm.prefixes import Prefix, common_prefixes

IMAGE = [7] * 10


def test_prompts_about_one_image_share_its_tokens_and_what_follows_alike() -> None:
    prompts = [[1, *IMAGE, 2, 3], [1, *IMAGE, 2, 4, 5], [1, *IMAGE, 2, 9]]
    assert common_prefixes(prompts, [("a",)] * 3) == [Prefix((0, 1, 2), 12)]


def test_equal_tokens_of_other_images_are_not_shared() -> None:
    prompts = [[1, *IMAGE, 2]] * 4
    media = [("a",), ("b",), ("a",), ("b",)]
    assert common_prefixes(prompts, media) == [Prefix((0, 2), 11), Prefix((1, 3), 11)]


def test_a_prompt_alone_is_cut_where_its_rest_is_as_long_as_the_others() -> None:
    prompts = [[1, *IMAGE, 2, 3], [1, *IMAGE, 4], [1, *IMAGE, 5, 6, 7], [8]]
    media = [("a",), ("a",), ("b",), ()]
    assert common_prefixes(prompts, media) == [
        Prefix((0, 1), 11),
        Prefix((2,), 12),
        Prefix((3,), 0),
    ]


@pytest.mark.parametrize("same", [[1, *IMAGE], [1]])
def test_of_the_same_prompt_twice_the_last_token_is_read_twice(same: list[int]) -> None:
    expected = [Prefix((0, 1), len(same) - 1)] if len(same) > 1 else []
    assert common_prefixes([same, same], [("a",), ("a",)]) == expected


def test_nothing_is_shared_where_it_would_save_little() -> None:
    lone = [list(range(100, 140)) for _ in range(6)]
    prompts = [*lone, [1, *IMAGE, 2], [1, *IMAGE, 3]]
    media = [*[(str(i),) for i in range(6)], ("a",), ("a",)]
    assert common_prefixes(prompts, media) == []
    assert common_prefixes(lone, [()] * 6) == []
