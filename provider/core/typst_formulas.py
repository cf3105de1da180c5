"""Formulas in the PDF of a report: LaTeX as Typst's own notation, which Typst then evaluates.

An evaluated text is code. Three checks keep a formula from being more than a formula: its LaTeX has
no `#` and no quotation mark, which begin code and end a text in Typst; a second parser of LaTeX
reads it; and the compiler has a root without files. What fails a check is shown as LaTeX.
"""

from functools import lru_cache

from provider.core.formulas import formula_to_mathml
from provider.core.typst_compiler import compile_pdf

MAX_LATEX_LENGTH = 500  # characters
MAX_DEPTH = 40  # open braces within one another; both parsers call themselves for each
_FORBIDDEN = ('"', "#", "\\unicode", "//", "/*")
# A formula that fails here would fail the whole report.
_CHECK_SOURCE = b"""
#set document(title: "Formula")
#math.equation(alt: "formula", block: true, eval(sys.inputs.formula, mode: "math"))
"""


@lru_cache(maxsize=2048)
def formula_to_typst(latex: str) -> str:
    """Return the formula in Typst's notation; empty for one that Typst cannot show."""
    if not _is_harmless(latex):
        return ""
    try:
        formula_to_mathml(latex)
        code = _convert(latex)
        if not code.strip() or "#" in code:
            return ""
        compile_pdf(_CHECK_SOURCE, {"formula": code}, "ua-1")
    # The converter raises ValueError, and the compiler a TypstError, which is a RuntimeError.
    except (ValueError, RuntimeError) as error:
        from structlog import get_logger  # late: see `logging_config`

        get_logger().info("formula_without_typst", reason=type(error).__name__)
        return ""
    return code


def _is_harmless(latex: str) -> bool:
    if len(latex) > MAX_LATEX_LENGTH or any(text in latex for text in _FORBIDDEN):
        return False
    depth = deepest = 0
    for character in latex:
        depth += {"{": 1, "}": -1}.get(character, 0)
        deepest = max(deepest, depth)
    return deepest <= MAX_DEPTH


def _convert(latex: str) -> str:
    # The converter takes a tenth of a second to load, and few tests have formulas.
    from tex2typst import tex2typst

    return str(tex2typst(latex))
