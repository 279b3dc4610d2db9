"""The shop: what a shopper sees, what each action does, and what a purchase is worth."""

import pickle

import pytest

from fitness.shop import (
    ATTRIBUTES,
    CUE,
    INVALID,
    KINDS,
    NOT,
    OFFERS,
    READY,
    STEPS,
    WANT,
    Episode,
    Shop,
)

WISH = ("hat", "red", "small", "wool")
PAGES = (("red", "white", "blue"), ("huge", "small", "tiny"), ("silk", "wool", "linen"))


@pytest.fixture
def episode():
    episode = Episode("want wool hat not shoe red small", WISH, PAGES)
    assert episode.reset() == "want wool hat not shoe red small\n> "
    return episode


def play(episode, *actions):
    """What each action brings."""
    return [episode.step(action) for action in actions]


def test_a_visit_that_gets_all(episode):
    assert play(episode, "search hat", "click red", "click small", "click wool", "buy") == [
        ("red white blue\n> ", 0.0, False),
        ("huge small tiny\n> ", 0.0, False),
        ("silk wool linen\n> ", 0.0, False),
        (READY + CUE, 0.0, False),
        ("", 1.0, True),
    ]


@pytest.mark.parametrize(
    ("actions", "score"),
    [
        (["search hat", "buy"], 0.25),
        (["search hat", "click red", "buy"], 0.5),
        (["search shoe", "click red", "buy"], 0.25),
        (["search hat", "click blue", "click small", "click silk", "buy"], 0.5),
        (["search shoe", "click white", "click huge", "click linen", "buy"], 0.0),
        (["search shoe", "click white", "search hat", "click red", "buy"], 0.5),
    ],
)
def test_partial_reward(episode, actions, score):
    assert play(episode, *actions)[-1] == ("", score, True)


@pytest.mark.parametrize(
    ("before", "action"),
    [
        ([], ""),
        ([], " \n"),
        ([], "buy"),
        ([], "click red"),
        ([], "search"),
        ([], "search red"),
        ([], "search hat shoe"),
        ([], "steal hat"),
        (["search hat"], "click pink"),
        (["search hat"], "click small"),
        (["search hat"], "click red white"),
        (["search hat"], "buy hat"),
        (["search hat", "click red", "click tiny", "click wool"], "click wool"),
    ],
)
def test_what_cannot_be_done_costs_a_step_and_no_more(episode, before, action):
    play(episode, *before)
    assert episode.step(action) == (INVALID + CUE, 0.0, False)
    rest = [action for action in episode.expert() if action not in before]
    assert play(episode, *rest)[-1][2], "the visit goes on as if nothing had happened"


def test_seven_steps_and_no_purchase(episode):
    seen = play(episode, *["search hat"] * STEPS)
    assert [over for _, _, over in seen] == [False] * (STEPS - 1) + [True]
    assert seen[-1][1] == 0.0


def test_a_visit_that_is_over_or_never_began(episode):
    with pytest.raises(RuntimeError, match=r"reset\(\) first"):
        Episode("want hat", WISH, PAGES).step("buy")
    play(episode, *episode.expert())
    with pytest.raises(RuntimeError, match="is over"):
        episode.step("buy")
    episode.reset()
    assert play(episode, "search hat", "buy")[-1] == ("", 0.25, True), (
        "nothing is left of the first visit"
    )


def test_every_wish_can_be_read_and_had():
    shop = Shop()
    for datapoint in range(200):
        episode = shop.episode(datapoint, "test")
        text = episode.reset()
        assert text.endswith(CUE)
        want, *words = text.removesuffix(CUE).split()
        assert want == WANT
        wanted = [
            word
            for before, word in zip([want, *words], words, strict=False)
            if NOT not in (before, word)
        ]
        assert sorted(wanted) == sorted(episode.wish), (
            "each attribute once, and what is not wanted behind a `not`"
        )
        assert all(wish in words for wish, words in zip(episode.wish, ATTRIBUTES, strict=True))
        assert [len(set(page)) for page in episode.pages] == [OFFERS] * 3
        expert = episode.expert()
        assert len(expert) <= STEPS
        assert play(episode, *expert)[-1] == ("", 1.0, True)


def test_an_episode_depends_on_seed_split_and_datapoint():
    episode = Shop(seed=3).episode(5, "train")
    assert Shop(train=9, test=1, validation=2, seed=3).episode(5, "train") == episode
    others = [
        Shop(seed=3).episode(6, "train"),
        Shop(seed=3).episode(5, "test"),
        Shop(seed=4).episode(5, "train"),
    ]
    assert all(other != episode for other in others)
    assert {Shop().episode(datapoint, "train").wish[0] for datapoint in range(60)} == set(KINDS)


def test_sizes_and_settings():
    shop = Shop(train=3, test=4)
    assert [shop.size(split) for split in ("train", "test", "validation", "lessons")] == [
        3,
        4,
        0,
        0,
    ]
    assert pickle.loads(pickle.dumps(shop)) == shop
    with pytest.raises(ValueError, match=r"test: expected .* at least 0, got -1"):
        Shop(test=-1)
