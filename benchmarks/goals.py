"""What was promised, beside what was measured."""

from benchmarks.measure import median

Verdict = tuple[str, str, bool]
PEERS = ("Pyro5", "RPyC", "grpcio", "zeroc-ice", "thriftpy2", "managers")


def goals(results: dict[str, dict[str, list[float]]], extras: dict[str, dict[str, float]]) -> list[Verdict]:
    """Each goal that the measured rows can judge: (text, figure, met)."""
    rates = {row: {name: median(values) for name, values in named.items()} for row, named in results.items()}
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
        pipe = rates["pipe"]["rpcx-unix"] / rates["pipe"]["rpcx"]
        verdicts.append(("over a pipe no slower than over TCP", f"{pipe:.2f} x", pipe >= 1))
    if {"rpcx-tls", "rpcx"} <= rates.get("tls", {}).keys():
        share = rates["tls"]["rpcx-tls"] / rates["tls"]["rpcx"]
        verdicts.append(("sequential add under TLS >= 0.7 x plain", f"{share:.2f} x", share >= 0.7))
    if {"Mono to rpcx", "Mono to Mono"} <= rates.get("dotnet", {}).keys():
        served = rates["dotnet"]["Mono to rpcx"] / rates["dotnet"]["Mono to Mono"]
        verdicts.append(("a Mono client is served no slower than by Mono", f"{served:.2f} x", served >= 1))
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


def _sequential(rates: dict[str, float]) -> list[Verdict]:
    verdicts = [_ratio("sequential add >= 2.5 x raw", rates, "raw socket", 2.5)]
    measured = [name for name in PEERS if name in rates]
    if measured:
        best = max(measured, key=rates.__getitem__)
        verdicts.append(_ratio(f"sequential add >= 4 x the best peer ({best})", rates, best, 4))
    return verdicts


def _onecore(rates: dict[str, float]) -> list[Verdict]:
    verdicts = [_ratio("one core: >= 0.25 x raw", rates, "raw socket", 0.25)]
    for name in ("Pyro5", "RPyC", "grpcio", "zeroc-ice"):
        if name in rates:
            verdicts.append(_ratio(f"one core: faster than {name}", rates, name, 1))
    if "thriftpy2" in rates:
        verdicts.append(_ratio("one core: the next mark, thriftpy2", rates, "thriftpy2", 1))
    return verdicts


def _ratio(text: str, rates: dict[str, float], other: str, least: float) -> Verdict:
    ratio = rates["rpcx"] / rates[other]
    return text, f"{ratio:.2f} x", ratio >= least
