"""Import paths: what they name, and what is said where they name nothing."""

import re

import pytest

from evomerge.targets import import_path
from fitness.classification import right
from populations.mnist import Classifiers


def test_import_paths():
    assert import_path("fitness.classification.right") is right
    assert import_path("populations.mnist.Classifiers.network") is Classifiers.network
    assert import_path("evomerge.cli").__name__ == "evomerge.cli"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("fitness.clasification.right", "fitness has no 'clasification'; did you mean 'classification'?"),
        ("fitness.classification.rihgt", "has no 'rihgt'; did you mean 'right'?"),
        ("fitnes.classification", "there is no module 'fitnes' on the import path; did you mean 'fitness'?"),
        ("", "Empty module name"),
        ("qqqq.wwww", "there is no module 'qqqq' on the import path"),
    ],
)
def test_import_paths_of_nothing(path, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        import_path(path)
