"""Formulas: LaTeX as MathML, which browsers draw and read aloud without a script."""

import re
from functools import cache
from typing import TYPE_CHECKING

# The library is imported at the first formula.
if TYPE_CHECKING:
    from math_core import LatexToMathML

MAX_FORMULA_LENGTH = 2000  # characters
# The elements and attributes of MathML Core that a formula may have, and `menclose`.
ELEMENTS = frozenset(
    {
        *("math", "mrow", "mi", "mn", "mo", "ms", "mtext", "mspace", "mphantom", "mpadded"),
        *("mfrac", "msqrt", "mroot", "msub", "msup", "msubsup", "munder", "mover", "munderover"),
        *("mmultiscripts", "mprescripts", "mtable", "mtr", "mtd", "menclose", "mstyle"),
    }
)
_OPERATOR = {"accent", "fence", "form", "largeop", "lspace", "maxsize", "minsize"} | {
    *("movablelimits", "rspace", "separator", "stretchy", "symmetric"),
}
ATTRIBUTES: dict[str, set[str]] = {
    "math": {"display"},
    "mi": {"mathvariant"},
    "mo": _OPERATOR,
    "mspace": {"width", "height", "depth"},
    "mpadded": {"width", "height", "depth", "lspace", "voffset"},
    "mfrac": {"linethickness"},
    "mover": {"accent"},
    "munder": {"accentunder"},
    "munderover": {"accent", "accentunder"},
    "mtable": {"displaystyle", "scriptlevel"},
    "mstyle": {"displaystyle", "scriptlevel"},
    "menclose": {"notation"},
}
# The page's Content-Security-Policy blocks style attributes, so that each declaration of a cell
# becomes a class. Others, such as colours, are left out.
_CLASSES = {
    "text-align: left": "math-left",
    "text-align: right": "math-right",
    "padding-left: 0": "math-joined-left",
    "padding-right: 0": "math-joined-right",
    "padding-left:1em": "math-apart",
    "border-top: 0.05em solid currentcolor": "math-line-top",
    "border-right: 0.05em solid currentcolor": "math-line-right",
    "border-bottom: 0.05em solid currentcolor": "math-line-bottom",
    "border-left: 0.05em solid currentcolor": "math-line-left",
}
CLASSES = {"mtd": set(_CLASSES.values())}
_STYLE = re.compile(r' style="([^"]*)"')


def formula_to_mathml(latex: str, *, is_block: bool = False) -> str:
    """Return the formula as MathML. Raises ValueError with what is wrong, for its author."""
    from math_core import LatexError

    if len(latex) > MAX_FORMULA_LENGTH:
        raise ValueError(f"a formula should have at most {MAX_FORMULA_LENGTH} characters")
    try:
        mathml = _converter().convert_with_local_state(latex, displaystyle=is_block)
    except LatexError as error:
        position, _, problem = str(error).partition(": ")
        raise ValueError(f"{problem.rstrip('.')} (at character {int(position) + 1})") from error
    return _STYLE.sub(lambda match: _to_class(match[1]), mathml)


def _to_class(style: str) -> str:
    declarations = (declaration.strip() for declaration in style.split(";"))
    names = [_CLASSES[declaration] for declaration in declarations if declaration in _CLASSES]
    return f' class="{" ".join(names)}"' if names else ""


@cache
def _converter() -> "LatexToMathML":
    from math_core import LatexToMathML

    return LatexToMathML(fancy_error=False)
