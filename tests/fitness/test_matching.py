"""Ready scores of responses: exact, numeric, GSM8K's."""

from decimal import Decimal

import pytest

from fitness.matching import exact, gsm8k, numbers, numeric


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
    [(" 12\n", "12", 1), ("12", 12, 1), ("twelve", "Twelve", 0), ("", "12", 0), ("true", "true", 1), ("a b", " a b", 1)],
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
