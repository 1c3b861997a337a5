"""Numbers for people: three significant digits, one scale for a whole column."""
import math

RATE_SCALES = [(1e6, "M"), (1e3, "k"), (1.0, "")]


def digits(value, significant=3):
    """1234.5 -> '1,234', 12.345 -> '12.3', 0.01234 -> '0.0123'; a true zero is '0'."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    decimals = max(0, significant - 1 - magnitude)
    if decimals > 6:
        return f"{value:.{decimals - 1}f}" if decimals < 9 else f"{value:.1e}"
    text = f"{value:,.{decimals}f}"
    if decimals and len(text.replace(",", "").replace(".", "").lstrip("-0")) > significant:
        text = f"{value:,.{decimals - 1}f}"
    return text


def rate_scale(values):
    """(divisor, prefix) that suits the largest of `values`."""
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    return next(((divisor, prefix) for divisor, prefix in RATE_SCALES if largest >= divisor), (1.0, ""))


def rate(value):
    divisor, prefix = rate_scale([value])
    return f"{digits(value / divisor)} {prefix}".strip()


def times(value):
    return "–" if value is None else f"{value:.2f}×"


def listed(words):
    words = list(words)
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1] if words else ""


def number(value):
    return f"{value:,.0f}" if value == int(value) else f"{value:,.6g}"
