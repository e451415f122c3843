"""Numbers as the page shows them."""


def digits(value):
    """Three significant digits, no exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def seconds(value):
    if value < 1:
        return f"{digits(1e3 * value)} ms"
    return f"{digits(value)} s" if value < 120 else f"{digits(value / 60)} min"


UNITS = (("GiB", 2 ** 30), ("MiB", 2 ** 20))


def size(value):
    for unit, of in UNITS:
        if value >= 0.9995 * of:
            return f"{digits(value / of)} {unit}"
    return f"{digits(value / 1024)} KiB"


def named_size(text):
    """Bytes of a text such as "1.37 GiB"."""
    number, unit = text.split()
    return float(number) * dict(UNITS)[unit]


def emphasised(text, projected):
    return f"*{text}*" if projected else text
