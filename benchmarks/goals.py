"""What was promised, beside what was measured.

How fast this machine's cores reach each other changes within a run, for seconds at a time, and not to the same degree
for everybody. So two competitors are compared round by round, which stand beside each other in time, and the median
of those ratios counts.
"""

from benchmarks.measure import median

Verdict = tuple[str, str, bool]
Rates = dict[str, list[float]]  # of one row: calls per second of each competitor, round by round
PEERS = ("Pyro5", "RPyC", "grpcio", "zeroc-ice", "thriftpy2", "managers")


def goals(rates: dict[str, Rates], extras: dict[str, dict[str, float]]) -> list[Verdict]:
    """Each goal that the measured rows can judge: (text, figure, met)."""
    verdicts: list[Verdict] = []
    if {"raw socket", "rpcx"} <= rates.get("sequential", {}).keys():
        verdicts += _sequential(rates["sequential"])
    if {"raw socket", "rpcx"} <= rates.get("onecore", {}).keys():
        verdicts += _onecore(rates["onecore"])
    if {"raw socket", "rpcx"} <= rates.get("inflight", {}).keys():
        verdicts.append(_ratio("64 in flight >= 10 x raw sequential", rates["inflight"], "raw socket", 10))
    if {"Pyro5", "rpcx"} <= rates.get("batch", {}).keys():
        verdicts.append(_ratio("batch of 64 faster than Pyro5's", rates["batch"], "Pyro5", 1))
    if {"raw socket", "rpcx"} <= rates.get("echo", {}).keys():
        verdicts.append(_ratio("1 MiB echo >= 0.6 x raw", rates["echo"], "raw socket", 0.6))
    if {"rpcx-unix", "rpcx"} <= rates.get("pipe", {}).keys():
        pipe = _times(rates["pipe"], "rpcx-unix", "rpcx")
        verdicts.append(("over a pipe no slower than over TCP", f"{pipe:.2f} x", pipe >= 1))
    if {"rpcx-tls", "rpcx"} <= rates.get("tls", {}).keys():
        share = _times(rates["tls"], "rpcx-tls", "rpcx")
        verdicts.append(("sequential add under TLS >= 0.7 x plain", f"{share:.2f} x", share >= 0.7))
    if {"Mono to rpcx", "Mono to Mono"} <= rates.get("dotnet", {}).keys():
        served = _times(rates["dotnet"], "Mono to rpcx", "Mono to Mono")
        verdicts.append(("a Mono client is served no slower than by Mono", f"{served:.2f} x", served >= 1))
    if "connections" in extras:
        part = extras["connections"]["calls/s beside them, of those alone"]
        verdicts.append(("2,000 idle connections slow nobody down: >= 0.9", f"{part:.2f} x", part >= 0.9))
    for row, key, text, bound in (
        ("idle", "host, share of a core", "an idle host uses no processor time", 0.005),
        ("idle", "client, share of a core", "an idle client uses no processor time", 0.005),
        ("connections", "KiB for each idle connection", "an idle connection costs < 20 KiB", 20),
        ("connect", "ms to connect and prove both keys", "connect and authenticate in < 5 ms", 5),
        ("access", "us a call for others, with a hook", "authorization in < 1 us a call", 1),
        ("import", "ms beyond pydantic's own", "import rpcx < 150 ms beyond pydantic", 150),
    ):
        if row in extras:
            verdicts.append((text, f"{extras[row][key]:.4g}", extras[row][key] <= bound))
    return verdicts


def _sequential(rates: Rates) -> list[Verdict]:
    verdicts = [_ratio("sequential add >= 2.5 x raw", rates, "raw socket", 2.5)]
    measured = [name for name in PEERS if name in rates]
    if measured:
        best = max(measured, key=lambda name: median(rates[name]))
        verdicts.append(_ratio(f"sequential add >= 4 x the best peer ({best})", rates, best, 4))
    return verdicts


def _onecore(rates: Rates) -> list[Verdict]:
    verdicts = [_ratio("one core: >= 0.25 x raw", rates, "raw socket", 0.25)]
    for name in ("Pyro5", "RPyC", "grpcio", "zeroc-ice"):
        if name in rates:
            verdicts.append(_ratio(f"one core: faster than {name}", rates, name, 1))
    if "thriftpy2" in rates:
        verdicts.append(_ratio("one core: the next mark, thriftpy2", rates, "thriftpy2", 1))
    return verdicts


def _ratio(text: str, rates: Rates, other: str, least: float) -> Verdict:
    ratio = _times(rates, "rpcx", other)
    return text, f"{ratio:.2f} x", ratio >= least


def _times(rates: Rates, one: str, other: str) -> float:
    """How many times as fast as ``other`` it is."""
    return median([mine / theirs for mine, theirs in zip(rates[one], rates[other], strict=True)])
