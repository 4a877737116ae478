"""What is asked of a figure, as a line of one form; tests/bench/all gathers them."""


def _say(what, value, bound, limit, unit, met):
    unit = " " + unit if unit else ""
    print(f"target: {what} | {value:.2f}{unit} | {bound} {limit}{unit} | {'met' if met else 'MISSED'}")


def at_most(what, value, limit, unit=""):
    _say(what, value, "at most", limit, unit, value <= limit)


def at_least(what, value, limit, unit=""):
    _say(what, value, "at least", limit, unit, value >= limit)
