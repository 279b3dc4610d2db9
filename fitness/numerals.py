r"""Numbers as people write them.

-1,234.50, $5, 50 %, 1 234 567 with thin or no-break spaces, 1'234, 12,34,567, 1.5e-3,
1.5 \times 10^3.

A comma groups digits and a point begins decimals. What is written otherwise (1.234,5 or 1,5), or is
a number with another one in it (1/2, 12:30, 2^10, \sqrt{2}), is read as NaN, which equals nothing:
it could be read in two ways, or is worth something else than its digits say. A percent sign and a
currency are units, so 50% is 50.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from functools import lru_cache

NARROW = "\u00a0\u2006\u2007\u2008\u2009\u200a\u202f"
"""Spaces that group digits: no-break, thin and narrow ones. An ordinary one ends a number."""

ALIKE = {
    # hyphens, dashes and minus signs
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d", "-"),
    **dict.fromkeys(NARROW, "\u2009"),
    # apostrophes
    **dict.fromkeys("\u2018\u2019\u02bc\uff07", "'"),
    # what begins decimals and groups digits beside Arabic digits
    "\u066b": ".",
    "\u066c": ",",
    # slashes and other signs between numbers
    "\uff0f": "/",
    "\u2044": "/",
    "\u2215": "/",
    "\uff0b": "+",
    # percent signs
    "\uff05": "%",
    "\ufe6a": "%",
    "\u066a": "%",
    # cents, which are not taken for dollars
    "\u00a2": "\u00a2",
    "\uffe0": "\u00a2",
}
"""Characters that mean the same in a number, with the one that stands for them here."""

WIDE = re.compile("(?<=[\uff10-\uff19])[\uff0c\uff0e](?=[\uff10-\uff19])")
"""A full-width comma or point among digits of its width; elsewhere it is the end of a phrase."""

TEX = ((r"\!", ""), ("{,}", ","), (r"\,", "\u2009"), (r"\$", "$"), (r"\%", "%"))
"""What TeX writes in and at a number."""

NUMBER = re.compile(
    r"""
    (?P<sign>(?<![\w.)])-)?                  # after a digit, a letter or a bracket it takes away
    (?:\$\s?)?
    (?P<digits>
        (?: [0-9] | (?<!\.)\.[0-9] ) [0-9]*
        (?: (?: [.,'_/:\u2009] | \*\* | \^\{?-? ) [0-9]+ )*
    )
    (?: [eE](?P<power>[+-]?[0-9]+)(?!\w)
      | \s*(?:\u00d7|\u22c5|\u00b7|\\times|\\cdot|[x*])\s*10(?:\^|\*\*)\{?(?P<times>[+-]?[0-9]+)\}?
      | \s*(?:\u00d7|\u22c5|\u00b7|\\times|\\cdot|[x*])\s*10
        (?P<raised>\u207b?[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+)
    )?
    (?P<more>[\u2070\u00b9\u00b2\u00b3\u2074-\u2079\u00bc-\u00be\u2150-\u215e]+)?
  | (?P<other>
        \\[dtc]?frac\s*(?:\{[^{}]*\}|[0-9])\s*(?:\{[^{}]*\}|[0-9])
      | \\sqrt\s*(?:\[[^\[\]]*\]\s*)?(?:\{[^{}]*\}|[0-9]+)
      | \u221a\s*[0-9]+
      | \u00b1\s*[0-9]+
      | [\u00bc-\u00be\u2150-\u215e]
    )
    """,
    re.VERBOSE,
)
"""A run of digits with what belongs to it."""

PLAIN = re.compile(
    r"""
    [0-9]*\.?[0-9]+                                         # without groups
  | [1-9][0-9]{0,2} (?:,[0-9]{3})+ (?:\.[0-9]+)?            # in groups of three, by a comma
  | [1-9][0-9]{0,2} (?:'[0-9]{3})+ (?:\.[0-9]+)?            # by an apostrophe
  | [1-9][0-9]{0,2} (?:_[0-9]{3})+ (?:\.[0-9]+)?            # by an underscore
  | [1-9][0-9]{0,2} (?:\u2009[0-9]{3})+ (?:\.[0-9]+)?       # by a thin space
  | [1-9][0-9]? (?:,[0-9]{2})+ ,[0-9]{3} (?:\.[0-9]+)?      # as in India, the last of three
    """,
    re.VERBOSE,
)
"""Digits that can be read in one way only."""

RAISED = str.maketrans(
    "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079", "-0123456789"
)

WRAPPERS = (
    ("$", "$"),
    # Markdown's emphasis, the longer marks first
    ("**", "**"),
    ("__", "__"),
    ("*", "*"),
    ("`", "`"),
    # TeX's formulas and commands
    (r"\(", r"\)"),
    (r"\[", r"\]"),
    (r"\boxed{", "}"),
    (r"\fbox{", "}"),
    (r"\text{", "}"),
    (r"\mathbf{", "}"),
    (r"\textbf{", "}"),
)
"""What may stand around a number without changing it."""

NAN = Decimal("NaN")


def numbers(text: str) -> list[Decimal]:
    """The numbers of a text, from its start; NaN for each that can be read in more than one way.

    >>> numbers("3 boxes at $1,250.50 make 3,751.50")
    [Decimal('3'), Decimal('1250.50'), Decimal('3751.50')]
    >>> numbers("about 1/2")
    [Decimal('NaN')]
    """
    return [_value(match) for match in NUMBER.finditer(_alike(text))]


def one_number(text: str) -> Decimal | None:
    r"""The number that a text is.

    Nothing is beside it but a sign, a currency, a percent sign and a full stop. It may stand in
    dollar signs, \boxed{...} or Markdown's emphasis.

    Returns:
        None if the text is something else, or can be read in more than one way.
    """
    plain = _unwrapped(_alike(text))
    match = re.fullmatch(r"(?P<sign>[+-]?)(?P<currency>(?:\$\s?)?)(?P<rest>.+?)\s?[%$]?\.?", plain)
    if match is None:
        return None
    sign = match["sign"]
    rest = match["rest"]
    # the sign may stand behind the currency, as in $-5
    if not sign and match["currency"].strip() and rest[0] in "+-":
        sign = rest[0]
        rest = rest[1:]
    number = NUMBER.fullmatch(rest)
    # a second sign or currency, or a fraction or a root, is more than a plain number
    if number is None or number["other"] or number["sign"] or "$" in rest:
        return None
    value = _value(number)
    if value.is_nan():
        return None
    return -value if sign == "-" else value


def _value(match: re.Match[str]) -> Decimal:
    """What a run of digits is worth."""
    digits = match["digits"]
    if digits is None or match["more"] or not PLAIN.fullmatch(digits):
        return NAN
    # 1.5e3, 1.5 x 10^3, and the same with small raised digits
    raised = match["raised"] or ""
    power = match["power"] or match["times"] or raised.translate(RAISED) or "0"
    # so high a power is nobody's answer, and Decimal has an end
    if len(power) > 7 or not re.fullmatch("[+-]?[0-9]+", power):
        return NAN
    sign = "-" if match["sign"] else ""
    return Decimal(sign + re.sub("[,'_\u2009]", "", digits) + f"e{int(power)}")


def _alike(text: str) -> str:
    """A text with one character for all that mean the same in a number."""
    # most texts are ASCII, and looking at each of their characters would take longer than the rest
    if not text.isascii():
        text = WIDE.sub(_narrow, text).translate(_table())
    for tex, plain in TEX:
        text = text.replace(tex, plain)
    return text


def _narrow(match: re.Match[str]) -> str:
    """The comma or the point that a full-width one stands for."""
    return "." if match[0] == "\uff0e" else ","


def _unwrapped(text: str) -> str:
    """A text without what stands around all of it."""
    before = None
    # there may be several, one in another, such as **$5$**
    while text != before:
        before = text
        text = text.strip()
        if text.endswith("."):
            text = text.removesuffix(".").strip()
        for start, end in WRAPPERS:
            if len(text) > len(start) + len(end) and text.startswith(start) and text.endswith(end):
                text = text[len(start) : -len(end)]
    return text


@lru_cache(maxsize=1)
def _table() -> dict[int, str]:
    """`ALIKE` with the digits and the currencies of all scripts."""
    table = {}
    for code in range(128, 0x20000):
        character = chr(code)
        kind = unicodedata.category(character)
        if kind == "Nd":
            table[code] = str(unicodedata.decimal(character))
        elif kind == "Sc":
            table[code] = "$"
    # last, as cents are a currency, too
    for character, plain in ALIKE.items():
        table[ord(character)] = plain
    return table
