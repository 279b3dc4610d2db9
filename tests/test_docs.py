"""The programs in the docs run as they stand there."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PROGRAMS = [
    pytest.param(code, id=f"{path.stem} {number}")
    for path in [DOCS / "comparing.md"]
    for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE), 1)
]


@pytest.mark.parametrize("code", PROGRAMS)
def test_a_program_of_the_docs_runs(code, capsys):
    exec(compile(code, "docs", "exec"), {"__name__": "docs"})
    assert "best_eval" in capsys.readouterr().out
