"""The family tree: who stands where."""

import re

from evomerge.report.family_tree import Relative, draw, generations_back


def test_family_has_everybody_once():
    """Who is an ancestor twice stands once, older than each child."""
    parents = {5: (4, 3), 4: (3, 2), 3: (2, 0), 2: (0, -1), 0: (), -1: (), 9: (8, 7)}
    family = {
        id: Relative(of, f"m{id}", 0.5, ("0.25", "0.75")[: len(of)], not of)
        for id, of in parents.items()
        if id != 9
    }
    back = generations_back(family, 5)
    assert back == {5: 0, 4: 1, 3: 2, 2: 3, 0: 4, -1: 4}
    texts = re.findall(r">([^<]+)</text>", draw(family, 5))
    assert sorted(text for text in texts if text.startswith("m")) == sorted(
        f"m{id}" for id in family
    )
    assert texts.count("0.25") == texts.count("0.75") == 4
