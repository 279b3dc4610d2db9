"""The docs are true: programs run, configs can be built, commands are such as the command line takes, files and links are there."""

import re
import runpy

import pytest
from doc_blocks import GENERATED, PAGES, ROOT, blocks
from doc_ground import Ground, working
from doc_rules import RULES, parsed

import evomerge

pytestmark = pytest.mark.whole

EVERYWHERE = "\n".join(
    path.read_text() for path in [*PAGES, *sorted((ROOT / "configs").rglob("*.yaml"))]
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize(
    "block", [pytest.param(block, id=block.name) for page in PAGES for block in blocks(page)]
)
def test_a_block_is_true(block, tmp_path, runs):
    assert block.kind in RULES, f"no rule for a block of kind {block.kind!r}:\n{block.text}"
    ground = Ground(tmp_path, runs)
    ground.lay(block)
    with working(tmp_path):
        printed = RULES[block.kind](block, ground)
    if block.output is not None:
        alike = masked if block.kind == "sh" else str
        assert alike(printed) == alike(block.output)


def masked(text):
    """What a command printed, without numbers."""
    return re.sub(r"-?\d[\d.]*(e-\d+)?", "#", text)


@pytest.mark.parametrize(
    "page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES]
)
def test_what_a_text_names_is_there(page):
    """Commands within a sentence, links, and the headings that links lead to."""
    text = page.read_text()
    for command in re.findall(r"`evomerge ([a-z]+ [^`]+)`", text):
        parsed(command.split())
    for link in re.findall(r"\]\(([^)#]*(?:#[^)]*)?)\)", text):
        path, _, anchor = link.partition("#")
        if path.startswith("http"):
            continue
        target = page.parent / path if path else page
        assert target.exists(), link
        headings = re.findall(r"^#+ (.*)", target.read_text(), re.MULTILINE) if anchor else []
        assert not anchor or anchor in [
            re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings
        ], link


def test_the_reference_is_of_the_code_as_it_is():
    """`python docs/api.py` writes it anew."""
    assert runpy.run_path(str(GENERATED.with_suffix(".py")))["reference"]() == GENERATED.read_text()


def test_the_reference_has_what_a_config_or_a_program_names():
    headings = set(re.findall(r"^### (\S+)", GENERATED.read_text(), re.MULTILINE))
    named = set(
        re.findall(
            r"\b(?:_target_|kind|algorithm|score): ((?:evomerge|fitness|populations)\.[\w.]+)",
            EVERYWHERE,
        )
    )
    named |= {f"evomerge.{name}" for name in evomerge.__all__}
    assert len(named) > 40
    assert named - headings == set()


def test_each_room_has_its_line():
    """In docs/files.md, where somebody looks who wants to know what lives where."""
    page = (ROOT / "docs" / "files.md").read_text().replace("\\", "")
    listed = set()
    for line in page.splitlines():
        cells = line.split(" | ")
        if not line.startswith("| ") or not re.search(r"[\w/]+(/|\.py)", cells[0]):
            continue
        # "evomerge/check/, compare/" names evomerge/check and evomerge/compare
        first, *others = cells[0].removeprefix("| ").split(", ")
        parent = first.rstrip("/").rpartition("/")[0]
        listed |= {first.rstrip("/"), *(f"{parent}/{name.rstrip('/')}" for name in others)}
    rooms = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("evomerge/*/*.py")}
    rooms |= {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("populations/*/*.py")}
    rooms |= {path.relative_to(ROOT).as_posix() for path in ROOT.glob("evomerge/*.py")}
    rooms |= {
        "populations",
        "fitness",
        "configs",
        "cluster",
        "examples",
        "benchmarks",
        "docs",
        "tests",
    }
    assert listed == rooms - {"evomerge/__init__.py"}
