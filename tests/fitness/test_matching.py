"""Ready scores of responses: exact, numeric, GSM8K's."""

import re
from decimal import Decimal

import numpy as np
import pytest

from fitness.matching import AnyOf, check_of, exact, gsm8k, numbers, numeric


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("none", []),
        ("It is 72.", ["72"]),
        ("1,234.50 or -3", ["1234.50", "-3"]),
        ("$1,000, 50% and .5", ["1000", "50", "0.5"]),
        ("-$5, $-6", ["-5", "-6"]),
        ("9-4=5", ["9", "4", "5"]),
        ("(2)-1", ["2", "1"]),
        ("9 - 14 = -5", ["9", "14", "-5"]),
        ("x2", ["2"]),
        ("1, 2,", ["1", "2"]),
        ("9" * 60, ["9" * 60]),
    ],
)
def test_numbers_as_people_write_them(text, found):
    assert numbers(text) == [Decimal(number) for number in found]


@pytest.mark.parametrize(
    ("response", "reference", "score"),
    [
        (" 12\n", "12", 1),
        ("12", 12, 1),
        ("twelve", "Twelve", 0),
        ("", "12", 0),
        ("true", "true", 1),
        ("a b", " a b", 1),
    ],
)
def test_exact(response, reference, score):
    assert exact("", response, reference) == score


@pytest.mark.parametrize(
    ("response", "reference", "score"),
    [
        ("3 + 4 = 7", "7", 1),
        ("7, of 8", "7", 0),
        ("$1,234.00", 1234, 1),
        ("50 %", "50%", 1),
        ("-7", "7", 0),
        ("none", "7", 0),
        ("18", "9 * 2 = <<9*2=18>>18\n#### 18", 1),
        ("0.1", 0.1, 1),
    ],
)
def test_numeric(response, reference, score):
    assert numeric("", response, reference) == score


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("48 / 2 = 24\n#### 72", 1),
        ("#### 72\n\nQuestion: and now?\n#### 5", 1),
        ("#### $72.00 in all, not 5", 1),
        ("24. The answer is: 72.", 1),
        ("The answer is not known. THE ANSWER IS 72", 1),
        ("The answer is 24", 0),
        ("#### 24. The answer is 72", 0),
        ("72", 0),
        ("####", 0),
        ("the answer is", 0),
        ("", 0),
    ],
)
def test_gsm8k(response, score):
    assert gsm8k("", response, "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\n#### 72") == score


def test_gsm8k_of_large_and_negative_numbers():
    assert gsm8k("", "The answer is -1234", "#### -1,234") == 1


@pytest.mark.parametrize(
    ("score", "reference", "response"),
    [
        (exact, "4", " 4\n"),
        (exact, 4, "4"),
        (exact, np.int64(4), "4"),
        (numeric, 4, "4.0"),
        (numeric, 4.0, "it is 4"),
        (numeric, 1e-7, "0.0000001"),
        (numeric, np.float32(0.1), "0.1"),
        (numeric, "\u22121\u202f234", "-1,234"),
        (numeric, "€5", "5 €"),
        (numeric, "1,234", "1'234"),
        (numeric, "9 * 2 = 18\n#### 18\nThe answer is: 18", "18"),
        (gsm8k, "so\n#### 18\nThe answer is: 18", "#### 18"),
        (gsm8k, "#### \uff11\uff18", "The answer is $18."),
        (AnyOf(), ["2", "two"], "two"),
        (AnyOf(), ("2", "two"), "2"),
        (AnyOf(), "two", "two"),
        (AnyOf(numeric), ["0.5", 50], "50%"),
    ],
)
def test_references_that_a_response_can_be_right_for(score, reference, response):
    check_of(score)(reference)
    assert score("", response, reference) == 1
    assert score("", response + "9", reference) == 0


ONE = r"expected one plain number \(such as 1,234.5 or -3\) and nothing else in the reference, got "
SEVERAL = r"; where any of several counts, score: {_target_: fitness.matching.AnyOf}$"

REFUSED = {
    "a list": (
        exact,
        ["2", "two"],
        r'^expected a text or a whole number as the reference, got a list of 2, \["2", "two"\]'
        + SEVERAL,
    ),
    "an object": (exact, {"value": "2"}, r'got an object, {"value": "2"}$'),
    "null": (exact, None, "got null$"),
    "true": (exact, True, "got true$"),
    "a decimal, whose text is a guess": (
        exact,
        4.0,
        "got 4.0; numbers are compared by fitness.matching.numeric$",
    ),
    "NaN": (exact, float("nan"), "got NaN; numbers are compared"),
    "nothing": (exact, "", "expected a reference that is not empty, got ''"),
    "spaces": (exact, " \n", r"expected a reference that is not empty, got ' \\n'"),
    "half a character": (
        exact,
        "a\ud83d",
        r"half a character, '\\ud83d' \(a lone surrogate\), stands at place 1 of 'a\\ud83d'",
    ),
    "two numbers": (numeric, "3 or 4", f"^{ONE}'3 or 4'$"),
    "a fraction": (numeric, "1/2", f"^{ONE}'1/2'$"),
    "a time": (numeric, "12:30", f"^{ONE}'12:30'$"),
    "a number with a unit": (numeric, "about 5 apples", f"^{ONE}'about 5 apples'$"),
    "a comma before decimals": (numeric, "1.234,5", f"^{ONE}'1.234,5'$"),
    "no number": (numeric, "two", "^expected a number in the reference, got 'two'$"),
    "numbers": (
        numeric,
        [3, 4],
        r"^expected a number in the reference, got a list of 2, \[3, 4\]" + SEVERAL,
    ),
    "infinity": (numeric, float("inf"), "^expected a number in the reference, got Infinity$"),
    "a truth": (numeric, False, "^expected a number in the reference, got false$"),
    "no number at all": (numeric, None, "^expected a number in the reference, got null$"),
    "no mark": (
        gsm8k,
        "18",
        "^expected '####' and a number at the end of the reference, got '18'$",
    ),
    "a list for GSM8K": (gsm8k, ["#### 1"], "^expected '####' and a number .* got a list of 1"),
    "two numbers behind the mark": (
        gsm8k,
        "#### 3 or 4",
        "^expected '####' and one plain number .* got '#### 3 or 4'$",
    ),
    "a time behind the mark": (gsm8k, "#### 12:30", "^expected '####' and one plain number"),
    "no alternative": (AnyOf(), [], "^expected one reference or more, got an empty list$"),
    "null among alternatives": (AnyOf(), ["2", None], "got null$"),
    "a word among numbers": (
        AnyOf(numeric),
        ["2", "two"],
        "^expected a number in the reference, got 'two'$",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_references_that_no_response_can_be_right_for(name):
    score, reference, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        check_of(score)(reference)


def test_a_score_of_ones_own_takes_any_reference_unless_it_checks():
    for reference in (None, ["a"], {"a": 1}, "", float("nan"), "\ud83d"):
        check_of(lambda *_: 1.0)(reference)

    class Even:
        def __call__(self, prompt, response, reference):
            return 1.0

        def check(self, reference):
            if reference % 2:
                raise ValueError(f"expected an even number, got {reference}")

    check_of(Even())(2)
    with pytest.raises(ValueError, match="expected an even number, got 3"):
        check_of(Even())(3)


@pytest.mark.parametrize(
    "response",
    ["1/2", "12:2", "2^2", "1,2", "1.000,2", r"\sqrt{2}", r"\frac{1}{2}", "1½", "5 or 2²"],
)
def test_an_answer_that_can_be_read_in_two_ways_matches_nothing(response):
    for reference in ("2", "12", "1", "1000.2", "22"):
        assert numeric("", response, reference) == 0
        assert (
            gsm8k(
                "", f"#### {response}" if "or" not in response else "#### 2²", f"#### {reference}"
            )
            == 0
        )


def official(text):
    """GSM8K's own extraction (grade_school_math/dataset.py)."""
    match = re.search(r"#### (\-?[0-9\.\,]+)", text)
    return match and match[1].strip().replace(",", "")


def test_gsm8k_agrees_with_its_official_extraction_on_ordinary_answers():
    rng = np.random.default_rng(0)
    whole = [
        int(number) for number in rng.integers(-(10**7), 10**7, 40) // 10 ** rng.integers(0, 7, 40)
    ]
    texts = [f"So it is {n} + 1.\n#### {n:{form}}" for n in whole for form in ("", ",")]
    texts += [f"x\n#### {n / 4}" for n in whole if n % 4]
    for one in texts:
        for other in (one, texts[int(rng.integers(len(texts)))]):
            assert gsm8k("", other, one) == (official(other) == official(one)), (one, other)
