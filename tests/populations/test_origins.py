"""What seeds say of themselves.

It is read from README.md and LICENSE as people have them, odd and broken ones too.
"""

import json
import os

import pytest
import tiny_llama

from populations.llm import LanguageModels
from populations.methods import Method
from populations.seeds.model_cards import origins

APACHE = (
    "\n                                 Apache License\n"
    "                           Version 2.0, January 2004\n   http://www.apache.org/licenses/\n"
)


def model(folder, readme=None, licence=None):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("README.md", readme), ("LICENSE", licence)):
        if text is not None:
            (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder, None


@pytest.mark.parametrize(
    ("readme", "licence", "known"),
    [
        (None, None, {}),
        ("# No head\n\n---\nlicense: mit\n---\n", None, {}),
        ("---\nlicense: MIT\n---\n# A\n", APACHE, {"license": ["mit"]}),
        (
            "\ufeff---\r\nlicense: mit\r\nlanguage: en\r\n---\r\n", None,
            {"license": ["mit"], "language": ["en"]},
        ),
        ("---\nlicense: unknown\n---\n", None, {}),
        (
            "---\nlicense: [gpl-3.0, mit]\nlanguage: [no, ja, Klingon, 7]\n---\n", None,
            {"license": ["gpl-3.0", "mit"], "language": ["no", "ja"]},
        ),
        ("---\nlicense: 2024-01-01\ntags: [x]\n---\n", None, {}),
        (
            "---\nlicense: other\nlicense_name: mine\nlicense_link: LICENSE\n---", "x",
            {"license": ["other"], "license_name": "mine"},
        ),
        (
            "---\nlicense: other\nlicense_link: https://x/y\n---", None,
            {"license": ["other"], "license_link": "https://x/y"},
        ),
        (
            "---\nbase_model: /home/me/base\ndatasets: [o/d, ../d, 'a b']\n---\n", None,
            {"datasets": ["o/d"]},
        ),
        ("---\nbase_model: [o/base, plain]\n---\n", None, {"base_model": ["o/base", "plain"]}),
        (None, APACHE, {"license": ["apache-2.0"]}),
        (None, "MIT License\n\nCopyright", {"license": ["mit"]}),
        (None, "Submit license", {"license": ["other"]}),
        (None, "LLAMA 3.1 COMMUNITY LICENSE AGREEMENT\n", {"license": ["llama3.1"]}),
    ],
)  # fmt: skip
def test_what_is_known_of_a_folder(tmp_path, readme, licence, known):
    assert origins([model(tmp_path / "m", readme, licence)]) == [{"name": "m", **known}]


@pytest.mark.parametrize(
    "readme",
    [
        "---\nlicense: [mit\n---\n",
        "---\n- mit\n---\n",
        "---\nlicense: \t`\n---\n",
        b"---\nlicense: \xff\n---\n",
        "---\na: 2024-99-99\n---\n",
        "---\na: " + "[" * 5000 + "\n---\n",
        "---\nlicense: !!bool maybe\n---\n",
        "---\nlicense: !!timestamp abc\n---\n",
    ],
)
def test_a_head_that_cannot_be_read_is_left_out_with_a_warning(tmp_path, caplog, readme):
    assert origins([model(tmp_path / "m", readme)]) == [{"name": "m"}]
    assert "README.md: what it says of its licence cannot be read" in caplog.text


def test_a_folder_is_called_by_as_much_of_its_path_as_tells_it_from_others(tmp_path):
    folders = [model(tmp_path / name) for name in ("run1/last", "run2/last", "run2/first")]
    assert [known["name"] for known in origins(folders)] == ["run1/last", "run2/last", "first"]
    assert [known["name"] for known in origins([folders[0], folders[0]])] == ["last", "last"]


def test_a_folder_of_the_hubs_cache_is_a_repository(tmp_path):
    folder, _ = model(
        tmp_path / "models--owner--name" / "snapshots" / "c0ffee",
        "---\nlicense: other\nlicense_link: LICENSE\n---\n",
    )
    [known] = origins([(folder, None)])
    assert known.pop("license_link") == "https://huggingface.co/owner/name/blob/main/LICENSE"
    assert known == {
        "name": "owner/name",
        "repository": "owner/name",
        "revision": "c0ffee",
        "license": ["other"],
    }


def test_seeds_and_the_base_of_a_method_are_told_and_no_place_of_this_machine(
    tmp_path, monkeypatch
):
    _, two = tiny_llama.tuned(tmp_path, ["one", "two"])
    for name, licence in (("base", "mit"), ("two", "apache-2.0")):
        (tmp_path / name / "README.md").write_text(
            f"---\nlicense: {licence}\nbase_model: {tmp_path}/x\n---\n"
        )
    monkeypatch.chdir(tmp_path)
    facts = LanguageModels(["one", two], base="base", method=Method("task_arithmetic")).card()
    assert facts["seeds"] == [{"name": "one"}, {"name": "two", "license": ["apache-2.0"]}]
    assert facts["others"] == [{"name": "base", "license": ["mit"]}]
    assert facts["tags"] == ["merge", "mergekit"]
    assert os.fspath(tmp_path) not in json.dumps(facts)
    plain = LanguageModels(["one", "two"]).card()
    assert (plain["others"], plain["tags"]) == ([], ["merge"])
