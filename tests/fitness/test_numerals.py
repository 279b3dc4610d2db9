"""Numbers as people write them, and what can be read in two ways."""

from decimal import Decimal

import pytest

from fitness.numerals import numbers, one_number

WRITTEN = {
    "\u22125": -5,
    "\u20135": -5,
    "\uff0d\uff17": -7,
    "\uff15\uff10": 50,
    "\uff11\uff0c\uff12\uff13\uff14\uff0e\uff15": "1234.5",
    "\u0663\u0664": 34,
    "1\u202f234\u202f567": 1234567,
    "1\u2009234.5": "1234.5",
    "-1\u00a0234": -1234,
    "1'234'567.5": "1234567.5",
    "1\u2019234": 1234,
    "1_000": 1000,
    "12,34,567": 1234567,
    "1,234,567.89": "1234567.89",
    "$1,000": 1000,
    "-$5.00": -5,
    "$-5": -5,
    "-€ 5": -5,
    "€5": 5,
    "5 €": 5,
    "£-3": -3,
    "¥1,000": 1000,
    "50%": 50,
    "50 %": 50,
    "50\uff05": 50,
    "1e5": 100000,
    "1.5E-3": "0.0015",
    "1.5 \u00d7 10^3": 1500,
    r"1.5 \times 10^{3}": 1500,
    "2·10³": 2000,
    "2x10\u207b¹": "0.2",
    ".5": "0.5",
    "+5": 5,
    "72.": 72,
    "007": 7,
    r"\boxed{72}": 72,
    "$72$": 72,
    r"\$72": 72,
    r"$\boxed{-1{,}234}$": -1234,
    r"1,\!234": 1234,
    r"1\,234": 1234,
    "**12**": 12,
    "**12.**": 12,
    "`3`": 3,
}

TWO_WAYS = [
    *(
        "1,5",
        "12,50",
        "1.234,5",
        "1.234.567",
        "1\u00a0234,5",
        "1,234,5",
        "0,123",
        "1234,567",
        "5'11",
    ),
    *(
        "1/2",
        "24/7",
        "1\u20442",
        "12:30",
        "2^10",
        "2**10",
        "10^{5}",
        "10³",
        "½",
        "1½",
        "±5",
        "1e99999999999",
    ),
    *(r"\frac{1}{2}", r"\dfrac12", r"\sqrt{2}", r"\sqrt[3]{8}", "√2"),
]

NOT_ONE = [
    *(
        "",
        " ",
        "two",
        "-",
        "%",
        "3 or 4",
        "3-4",
        "1 234 567",
        "about 5 apples",
        "5 apples",
        "5k",
        "5 million",
        "- 5",
        "--5",
    ),
    *(
        "(5)",
        "~5",
        "5%%",
        "x2",
        "2024-01-05",
        "#### 5",
        "50¢",
        "5, 6",
        "nan",
        "inf",
        "1e5x",
        "0x10",
        "5!",
    ),
]


@pytest.mark.parametrize("text", WRITTEN)
def test_a_plain_number_is_read_alone_and_at_the_end_of_a_sentence(text):
    number = Decimal(WRITTEN[text])
    assert one_number(text) == number
    assert numbers(text) == [number]
    assert numbers(f"At first 7, then {text}")[-1] == number
    assert numbers(f"It is {text}, I think")[0] == number


@pytest.mark.parametrize("text", TWO_WAYS)
def test_what_can_be_read_in_two_ways_is_no_number_and_equals_none(text):
    assert one_number(text) is None
    assert numbers(f"It is {text}")[-1].is_nan()


@pytest.mark.parametrize("text", NOT_ONE)
def test_what_is_more_than_a_number_is_not_one(text):
    assert one_number(text) is None


def test_signs_of_full_width_end_a_phrase_where_digits_are_narrow():
    assert numbers("\u6b651\uff1a5\u4e2a\uff0c3\u4e2a") == [1, 5, 3]
    assert numbers("12\uff0c345") == [12, 345]
