#!/usr/bin/env python3
"""Measures `dormouse perf profile` beside its peers, against one server that knows the truth.

    peers.py measure     the error, rate, CPU and memory of each tool, as a table (docs/guides/which-number-is-right.md)
    peers.py parity      the same flags at 100 requests a second: each mean of the peer's within 2 % or 1 ms of ours

Needs python3 alone. What is measured comes from the environment:

    DORMOUSE_BIN              our program; else target/release/dormouse
    DORMOUSE_PEER_AIPERF      the peer's program `aiperf`; without it its part is SKIPPED
    DORMOUSE_PEER_TOKENIZER   folder of a tokenizer; else tests/cases/perf/tokenizer

Each run has a server of its own (`dormouse perf mock-server`), and what the server measured of itself in that run is the truth.
Tools take turns. Figures are medians of the repeats. What other programs used of the machine meanwhile is measured too: a run
during which they used too much is made again.
"""

import argparse
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
TTFT_MS, ITL_MS = 20, 5
# Parity is about definitions: with these the peer's own error of a millisecond or two is less than 2 % of the figure.
PARITY_MS = (200, 20)

# Name, what it is, flags.
SETTINGS = {
    "closed-10": ("10 at a time, 50 tokens", ["--concurrency", "10", "--request-count", "400", "--osl", "50"]),
    "closed-100": ("100 at a time, 50 tokens", ["--concurrency", "100", "--request-count", "3000", "--osl", "50"]),
    "open-100": (
        "100 a second, 8 tokens",
        ["--request-rate", "100", "--arrival-pattern", "constant", "--request-count", "1000", "--osl", "8"],
    ),
    "open-1000": (
        "1000 a second, 8 tokens",
        ["--request-rate", "1000", "--arrival-pattern", "constant", "--request-count", "10000", "--osl", "8"],
    ),
}
MOST_SECONDS = 240


def ours():
    found = os.environ.get("DORMOUSE_BIN") or str(REPOSITORY / "target/release/dormouse")
    if not shutil.which(found):
        sys.exit(f"{found} is not there: cargo build --release -p dormouse --no-default-features --features perf")
    return str(pathlib.Path(found).resolve())


def tokenizer():
    given = os.environ.get("DORMOUSE_PEER_TOKENIZER")
    folder = pathlib.Path(given) if given else REPOSITORY / "tests/cases/perf/tokenizer"
    if not (folder / "tokenizer.json").is_file():
        sys.exit(f"there is no tokenizer.json in {folder}: name a folder in DORMOUSE_PEER_TOKENIZER")
    return str(folder.resolve())


def tools():
    """Name and command line of each tool that is there."""
    found = {"dormouse": [ours(), "perf"]}
    peer = os.environ.get("DORMOUSE_PEER_AIPERF")
    if peer and shutil.which(peer):
        found["aiperf"] = [str(pathlib.Path(peer).absolute())]
    else:
        why = f"{peer} is no program" if peer else "DORMOUSE_PEER_AIPERF is not set"
        print(f"\n*** SKIPPED aiperf: {why} ***\n", file=sys.stderr)
    return found


class Server:
    """The mock server, for one run."""

    def __init__(self, ttft_ms=TTFT_MS, itl_ms=ITL_MS):
        command = [ours(), "perf", "mock-server", "--port", "0", "--ttft-ms", str(ttft_ms), "--itl-ms", str(itl_ms)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.url = self.process.stdout.readline().strip()
        if not self.url.startswith("http"):
            sys.exit(f"the mock server did not begin: {self.url}")

    def stats(self):
        with urllib.request.urlopen(f"{self.url}/stats?requests=1000000", timeout=30) as answer:
            return json.load(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)


def stat_of(pid):
    """Parent, CPU seconds, resident bytes of a process; none when it is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
        resident = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return None
    fields = text.rpartition(")")[2].split()
    return int(fields[1]), (int(fields[11]) + int(fields[12])) / TICK, resident


def machine_busy():
    fields = [int(n) for n in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4]) / TICK


class Watch(threading.Thread):
    """CPU and memory of a process and all that it starts."""

    def __init__(self, root):
        super().__init__(daemon=True)
        self.root, self.cpu, self.peak, self.over = root, {}, 0, threading.Event()

    def look(self):
        all_of = {int(p): s for p in os.listdir("/proc") if p.isdigit() and (s := stat_of(p))}
        family, grew = {self.root} | set(self.cpu), True
        while grew:
            children = {pid for pid, (parent, _, _) in all_of.items() if parent in family}
            grew = not children <= family
            family |= children
        self.cpu.update({pid: all_of[pid][1] for pid in family if pid in all_of})
        self.peak = max(self.peak, sum(all_of[pid][2] for pid in family if pid in all_of))

    def run(self):
        while not self.over.wait(0.2):
            self.look()


def run(command, log):
    """Runs a tool: seconds, CPU seconds, peak bytes, its code, and CPU seconds of everything on the machine meanwhile."""
    before, began = machine_busy(), time.monotonic()
    with open(log, "w") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        watch = Watch(process.pid)
        watch.start()
        killer = threading.Timer(MOST_SECONDS, process.kill)
        killer.start()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        killer.cancel()
    wall, busy = time.monotonic() - began, machine_busy() - before
    watch.over.set()
    watch.join()
    cpu = max(sum(watch.cpu.values()), usage.ru_utime + usage.ru_stime)
    return wall, cpu, max(watch.peak, usage.ru_maxrss * 1024), process.returncode, busy


def percentile(values, percent):
    values = sorted(values)
    at = (len(values) - 1) * percent / 100
    low = values[int(at)]
    high = values[min(int(at) + 1, len(values) - 1)]
    return low + (high - low) * (at - int(at))


def truth(stats):
    """What the server measured, in milliseconds and requests a second."""
    names = stats["columns"]
    column = lambda name: [row[names.index(name)] for row in stats["rows"] if row[names.index(name)] is not None]
    first, last = ([ns * 1e-6 for ns in column(name)] for name in ("first_content_ns", "last_content_ns"))
    arrivals = sorted(column("arrival_monotonic_ns"))
    span = (arrivals[-1] - arrivals[0]) * 1e-9 if len(arrivals) > 1 else 0
    gaps = [(b - a) * 1e-6 for a, b in zip(arrivals, arrivals[1:])]
    return {
        "requests": len(arrivals),
        "ttft_mean": statistics.fmean(first),
        "ttft_p99": percentile(first, 99),
        "latency_mean": statistics.fmean(last),
        "latency_p99": percentile(last, 99),
        "rate": (len(arrivals) - 1) / span if span else 0,
        "gap_std": statistics.pstdev(gaps) if gaps else 0,
        "lateness_p99": (stats["lateness_ns"]["p99"] or 0) * 1e-6,
        "in_flight_max": stats["in_flight"]["max"],
    }


def common(url):
    return [
        *["profile", "--model", "mock-model", "--url", url, "--endpoint-type", "chat", "--streaming"],
        *["--tokenizer", tokenizer(), "--isl", "10", "--random-seed", "1", "--extra-inputs", "ignore_eos:true"],
        *["--ui", "none", "--no-gpu-telemetry", "--no-server-metrics"],
    ]


def one(tool, flags, keep, server_times=(TTFT_MS, ITL_MS), base=common):
    """One run of one tool on a server of its own."""
    out = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=keep))
    with Server(*server_times) as server:
        server_before = stat_of(server.process.pid)[1]
        command = [*tool, *base(server.url), *flags, "--output-artifact-dir", str(out / "run")]
        wall, cpu, peak, code, busy = run(command, out / "log")
        server_cpu = stat_of(server.process.pid)[1] - server_before
        stats = server.stats()
    summary = out / "run/profile_export_aiperf.json"
    if not summary.is_file():
        tail = (out / "log").read_text()[-1500:]
        sys.exit(f"{' '.join(command)}\nended with {code} and wrote no summary:\n{tail}")
    document = json.loads(summary.read_text())
    (out / "stats.json").write_text(json.dumps(stats))
    value = lambda tag, stat: (document.get(tag) or {}).get(stat)
    return {
        "wall": wall,
        "cpu": cpu,
        "peak": peak,
        "code": code,
        "others": max(0.0, busy - cpu - server_cpu) / wall,
        "command": command,
        "server_cpu": server_cpu,
        "load": os.getloadavg()[0],
        "verdict": document.get("verdict"),
        "truth": truth(stats),
        "said": {
            "requests": value("request_count", "avg"),
            "ttft_mean": value("time_to_first_token", "avg"),
            "ttft_p99": value("time_to_first_token", "p99"),
            "latency_mean": value("request_latency", "avg"),
            "latency_p99": value("request_latency", "p99"),
            "rate": value("request_throughput", "avg"),
        },
        "document": document,
    }


def calm(others, most):
    """Waits until other programs leave the machine alone for two seconds, up to so many seconds."""
    until = time.monotonic() + most
    while time.monotonic() < until:
        before, began = machine_busy(), time.monotonic()
        time.sleep(2)
        if (machine_busy() - before) / (time.monotonic() - began) <= others:
            return


def quiet(tool, flags, keep, args, **more):
    """A run during which others left the machine alone; else the one during which they used least."""
    runs = []
    for _ in range(args.tries):
        calm(args.others, args.wait)
        runs.append(one(tool, flags, keep, **more))
        if runs[-1]["others"] <= args.others:
            break
        print(f"  others used {runs[-1]['others']:.2f} cores: again", file=sys.stderr)
    return min(runs, key=lambda r: r["others"])


def middle(runs, path):
    def at(run):
        for key in path.split("."):
            run = run[key]
        return run

    return statistics.median(at(run) for run in runs)


def measure(args):
    found, results = tools(), {}
    keep = pathlib.Path(args.keep or tempfile.mkdtemp(prefix="perf-peers-"))
    keep.mkdir(parents=True, exist_ok=True)
    for name in args.settings.split(","):
        what, flags = SETTINGS[name]
        runs = {tool: [] for tool in found}
        for repeat in range(args.repeats):
            for tool in found if repeat % 2 == 0 else reversed(found):
                result = quiet(found[tool], flags, keep, args)
                runs[tool].append(result)
                results[name] = runs
                save(keep, results)
                said, true = result["said"], result["truth"]
                print(
                    f"{name} {tool}: TTFT {said['ttft_mean']:.2f} (true {true['ttft_mean']:.2f}),"
                    f" {true['rate']:.1f}/s, others {result['others']:.2f} cores, code {result['code']}",
                    file=sys.stderr,
                )
        results[name] = runs
    runs = {tool: [] for tool in found}
    for _ in range(args.repeats if args.start else 0):
        for tool in found:
            runs[tool].append(quiet(found[tool], ["--request-count", "1", "--osl", "1"], keep, args, server_times=(0, 0)))
    if args.start:
        results["start"] = runs
    save(keep, results)
    print(table(results))
    print(f"\nraw figures: {keep / 'results.json'}", file=sys.stderr)


def save(keep, results):
    plain = lambda run: {name: value for name, value in run.items() if name != "document"}
    of = {name: {tool: [plain(run) for run in all_of] for tool, all_of in runs.items()} for name, runs in results.items()}
    (keep / "results.json").write_text(json.dumps(of, indent=1))


def table(results):
    lines = [
        "| Load | Tool | TTFT mean: said, true, off (ms) | TTFT p99: said, true, off | Latency mean: said, true, off |"
        " Latency p99: said, true, off | Arrived/s | CPU s | MiB | Others, cores |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in results.items():
        for tool, all_of in runs.items():
            if name == "start":
                continue
            cells = [SETTINGS[name][0], tool]
            for figure in ("ttft_mean", "ttft_p99", "latency_mean", "latency_p99"):
                said, true = middle(all_of, f"said.{figure}"), middle(all_of, f"truth.{figure}")
                off = statistics.median(run["said"][figure] - run["truth"][figure] for run in all_of)
                cells.append(f"{said:.2f}, {true:.2f}, **{off:+.2f}**")
            cells.append(f"{middle(all_of, 'truth.rate'):.1f}")
            cells.append(f"{middle(all_of, 'cpu'):.2f}")
            cells.append(f"{middle(all_of, 'peak') / 2**20:.0f}")
            cells.append(f"{middle(all_of, 'others'):.2f}")
            lines.append(f"| {' | '.join(cells)} |")
    for tool, all_of in results.get("start", {}).items():
        wall, cpu, peak = middle(all_of, "wall"), middle(all_of, "cpu"), middle(all_of, "peak") / 2**20
        lines.append(f"\nOne request from start to end, {tool}: {wall:.2f} s, {cpu:.2f} s of CPU, {peak:.0f} MiB.")
    repeats = {len(all_of) for runs in results.values() for all_of in runs.values()}
    lines.append(f"\nMedians of {'/'.join(map(str, sorted(repeats)))}.")
    return "\n".join(lines)


# What is no mean of the load: times of day.
NO_MEANS = {"min_request_timestamp", "max_response_timestamp"}
# Made-up text is each tool's own, so what counts its letters may differ; with the text of one file nothing may.
OF_THE_TEXT = {
    "usage_prompt_tokens",
    "usage_total_tokens",
    "usage_prompt_tokens_diff_pct",
    "total_usage_prompt_tokens",
    "total_usage_total_tokens",
    "http_req_data_sent",
}


def parity(args):
    found = tools()
    if "aiperf" not in found:
        print("SKIPPED: no peer to compare with")
        return 0
    keep = pathlib.Path(args.keep or tempfile.mkdtemp(prefix="perf-parity-"))
    keep.mkdir(parents=True, exist_ok=True)
    text = keep / "prompts.jsonl"
    rows = ({"text": f"Tell me about the number {n}, and why people like it.", "output_length": 16} for n in range(100))
    text.write_text("".join(json.dumps(row) + "\n" for row in rows))
    rate = ["--request-rate", "100", "--arrival-pattern", "constant", "--request-count", "1000", "--export-http-trace"]
    from_file = lambda url: [flag for flag in common(url) if flag not in ("--isl", "10")]
    cases = {
        "made-up text": (common, [*rate, "--osl", "16", "--goodput", "time_to_first_token:100"], OF_THE_TEXT),
        "text of a file": (from_file, [*rate, "--input-file", str(text), "--custom-dataset-type", "single_turn"], set()),
    }
    times = tuple(float(ms) for ms in args.times.split(","))
    compat = {"aiperf": [], "dormouse": [] if args.as_ours else ["--compat", "aiperf"]}
    wrong = 0
    for what, (base, flags, free) in cases.items():
        runs = {tool: [] for tool in found}
        for _ in range(args.repeats):
            for tool in found:
                runs[tool].append(quiet(found[tool], [*flags, *compat[tool]], keep, args, base=base, server_times=times))
        documents = {tool: [run["document"] for run in all_of] for tool, all_of in runs.items()}
        bad, same, own, only_ours = differences(documents["aiperf"], documents["dormouse"], free)
        wrong += len(bad)
        for tool, all_of in runs.items():
            said, true = middle(all_of, "said.ttft_mean"), middle(all_of, "truth.ttft_mean")
            late, last = middle(all_of, "said.latency_mean"), middle(all_of, "truth.latency_mean")
            print(f"{what}, {tool}: TTFT {said:.2f} (true {true:.2f}), latency {late:.2f} (true {last:.2f}) ms")
        print(f"{what}: {same} means agree, {len(bad)} do not, {own} are of each tool's text; ours alone: {', '.join(only_ours) or 'none'}")
        for line in bad:
            print(f"  FAIL {line}")
    print("PASSED" if wrong == 0 else f"FAILED: {wrong}")
    return 1 if wrong else 0


def differences(theirs, mine, free):
    """Means of metrics that differ by more than 2 % and 1 ms, by medians over the runs."""
    metrics = lambda documents: {tag for d in documents for tag, v in d.items() if isinstance(v, dict) and "unit" in v and "avg" in v}
    bad, same, own = [], 0, 0
    for tag in sorted(metrics(theirs) - NO_MEANS):
        if tag not in mine[0]:
            bad.append(f"{tag}: not in ours")
            continue
        units = theirs[0][tag]["unit"], mine[0][tag]["unit"]
        a, b = (statistics.median(d[tag]["avg"] for d in documents if tag in d) for documents in (theirs, mine))
        near = abs(a - b) <= 0.02 * abs(a) or (units[0] == "ms" and abs(a - b) <= 1) or abs(a - b) < 1e-9
        if units[0] != units[1]:
            bad.append(f"{tag}: unit {units[0]} and {units[1]}")
        elif not near and tag in free:
            own += 1
        elif not near:
            bad.append(f"{tag}: {a:.4f} and {b:.4f} {units[0]}")
        else:
            same += 1
    return bad, same, own, sorted(metrics(mine) - metrics(theirs))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    for name, verb, repeats in (("measure", measure, 3), ("parity", parity, 1)):
        sub = verbs.add_parser(name)
        sub.set_defaults(verb=verb)
        sub.add_argument("--repeats", type=int, default=repeats, help="runs of each tool (%(default)s)")
        sub.add_argument("--others", type=float, default=0.3, help="cores that other programs may use during a run (%(default)s)")
        sub.add_argument("--wait", type=float, default=60, help="seconds to wait for a quiet machine before each run (%(default)s)")
        sub.add_argument("--tries", type=int, default=3, help="runs until one was quiet (%(default)s)")
        sub.add_argument("--nice", type=int, default=0, help="priority of server and tools alike; below 0 needs root (%(default)s)")
        sub.add_argument("--keep", help="folder for all files; else a new one")
        if verb is measure:
            sub.add_argument("--settings", default=",".join(SETTINGS), help="which loads (%(default)s)")
            sub.add_argument("--no-start", dest="start", action="store_false", help="do not measure how long a single request takes")
        else:
            sub.add_argument("--times", default="{},{}".format(*PARITY_MS), help="the server's TTFT and ITL in ms (%(default)s)")
            sub.add_argument("--as-ours", action="store_true", help="without --compat aiperf")
    args = parser.parse_args()
    if args.nice:
        os.nice(args.nice)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65536)), hard))
    sys.exit(args.verb(args))


if __name__ == "__main__":
    main()
