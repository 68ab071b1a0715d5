"""What was refused, told in a line at most every ten seconds."""

from rpcx.security.tally import OTHER, REASONS, REPORT_SECONDS, Tally


def test_the_first_is_told_at_once_and_the_rest_together():
    tally = Tally()
    assert tally.due() is None
    lines = []
    for tick in range(200):
        tally.add("too fast")
        lines.append(tally.report(tick * 0.1))
    told = [line for line in lines if line]
    assert len(told) == 20 / REPORT_SECONDS
    assert told[0] == "1 (too fast)"
    assert tally.due() is not None
    assert tally.report(25.0) == f"{200 - sum(int(line.split()[0]) for line in told)} (too fast)"
    assert tally.due() is None


def test_reasons_are_told_apart():
    tally = Tally()
    for reason in ("late", "early", "late"):
        tally.add(reason)
    assert tally.report(0.0) == "1 (early), 2 (late)"


def test_the_rest_does_not_wait():
    tally = Tally()
    tally.add("late")
    assert tally.report(0.0)
    tally.add("late")
    assert tally.report(1.0) is None
    assert tally.rest(1.0) == "1 (late)"
    assert tally.rest(1.0) is None


def test_reasons_without_number_cost_no_memory_without_number():
    tally = Tally()
    for number in range(1000):
        tally.add(f"user {number} is nobody")
    assert len(tally.counts) == REASONS + 1
    assert tally.counts[OTHER] == 1000 - REASONS
