"""What prepare, embed, train and search would take at 103 thousand, 1 million, 100 million and 1 billion paintings.

Run it with:  python benchmarks/scale.py                prints the tables of docs/scale.md
         or:  python benchmarks/scale.py --write        puts them into docs/scale.md
         or:  python benchmarks/scale.py --measure      measures faiss' IVF-PQ first, for the table of searches

Everything is computed from rates.json, which the other benchmarks wrote with --save, and from the assumptions below.
Work that falls apart into pictures is taken to grow with their number, and to be shared among cores without loss.
"""

import argparse
import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from _rates import read_rates, save_rates

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
BEGIN, END = "<!-- python benchmarks/scale.py -->\n", "<!-- end -->"
SCALES = {"103 thousand": 103_250, "1 million": 1_000_000, "100 million": 100_000_000, "1 billion": 1_000_000_000}
CORES = 64
CORE_HOUR, GIGABYTE_MONTH = 0.04, 0.02
MACHINE_GIGABYTES, WAIT_SECONDS = 64, 1.0
WIDTH, EPOCHS, PROBES, CODE_BYTES = 512, 10, 16, 64
MEASURED_PAIRS = 23_817
"""Paintings that all-against-all was measured on."""
ASSUMPTIONS = (
    f"{CORES} cores work at once; a core costs {CORE_HOUR} $ an hour, a gigabyte kept {GIGABYTE_MONTH} $ a month",
    f"one machine for search has {MACHINE_GIGABYTES} GB of memory, and an answer may take {WAIT_SECONDS:g} s",
    f"embeddings are {WIDTH} numbers of 4 bytes; training passes every picture {EPOCHS} times",
    f"IVF-PQ: {CODE_BYTES} bytes a code and 8 for its number, 4·√N lists, {PROBES} of them looked through",
)
USED = {
    "prepare": "prepare_12mp_core_seconds_a_picture",
    "originals": "prepare_12mp_original_bytes",
    "prepared": "prepare_12mp_kept_bytes",
    "embed": "embed_resnet18_images_per_second",
    "train": "train_resnet18_images_per_second",
    "exact": f"search_{WIDTH}_milliseconds_a_million",
    "all pairs": f"retrieval_{MEASURED_PAIRS}_morelli_seconds",
    "code": "ivfpq_nanoseconds_a_code",
    "add": "ivfpq_add_core_seconds_a_picture",
    "recall": "ivfpq_recall_at_10",
}
_UNKNOWN = "not measured"
GPU_TRAIN = "gpu_train_resnet50_images_per_second"


def measure(pictures: int = 20_000, queries: int = 100) -> dict[str, float]:
    """Build an IVF-PQ index of embeddings around artists' centres, and time what its search is made of."""
    import faiss
    import numpy as np

    random = np.random.default_rng(0)
    centres = random.standard_normal((pictures // 20, WIDTH), np.float32)
    rows = 3 * random.standard_normal((pictures + queries, WIDTH), np.float32)
    rows += centres[random.integers(0, len(centres), len(rows))]
    faiss.normalize_L2(rows)
    known, asked = rows[:pictures], rows[pictures:]
    lists = round(4 * pictures**0.5)
    index = faiss.index_factory(WIDTH, f"IVF{lists},PQ{CODE_BYTES}", faiss.METRIC_INNER_PRODUCT)
    index.train(known[: 40 * lists])
    started = time.perf_counter()
    index.add(known)
    added = time.perf_counter() - started
    seconds = {}
    for probes in (16 * PROBES, PROBES):
        index.nprobe = probes
        started = time.perf_counter()
        found = [index.search(query[None], 10)[1][0] for query in asked]
        seconds[probes] = (time.perf_counter() - started) / queries
    _, truth = faiss.knn(asked, known, 10, metric=faiss.METRIC_INNER_PRODUCT)
    codes = pictures / lists * 15 * PROBES
    return {
        USED["code"]: 1e9 * (seconds[16 * PROBES] - seconds[PROBES]) / codes,
        USED["add"]: added * faiss.omp_get_max_threads() / pictures,
        USED["recall"]: float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, truth, strict=True)])),
    }


def tables(rates: dict[str, dict[str, Any]]) -> str:
    """The assumptions, the tables, and where every figure comes from, as Markdown."""
    used = {name: rates[key]["value"] if key in rates else math.nan for name, key in USED.items()}
    cores = {name: rates[key]["cores"] if key in rates else 1 for name, key in USED.items()}
    work = {
        "prepare": used["prepare"],
        "embed": cores["embed"] / used["embed"],
        f"train, {EPOCHS} epochs": EPOCHS * cores["train"] / used["train"],
        "add to an IVF-PQ index": used["add"],
    }
    disk = {
        "originals": used["originals"],
        "prepared folder": used["prepared"],
        "embeddings, and memory of exact search": 4 * WIDTH,
        "memory of IVF-PQ": CODE_BYTES + 8,
    }
    parts = [
        *(f"- Assumed: {what}." for what in ASSUMPTIONS),
        "",
        *_table("work", (_work(name, seconds) for name, seconds in work.items())),
        "",
        *_table("bytes", (_bytes(name, size) for name, size in disk.items())),
        "",
        *_table("search", (_exact(used), _ivfpq(used), _all_pairs(used))),
        "",
        *_limits(used),
        "",
        *_origins(rates),
    ]
    return "\n".join(parts)


def _table(what: str, rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {what} | {' | '.join(SCALES)} |", "|---" + "|---:" * len(SCALES) + "|"] + [
        f"| {' | '.join(row)} |" for row in rows
    ]


def _work(name: str, seconds: float) -> list[str]:
    hours = [seconds * count / 3600 for count in SCALES.values()]
    if math.isnan(seconds):
        return [name, *(len(hours) * [_UNKNOWN])]
    return [name, *(f"{_time(3600 * hour / CORES)}, {hour * CORE_HOUR:,.2f} $" for hour in hours)]


def _bytes(name: str, size: float) -> list[str]:
    gigabytes = [size * count / 1e9 for count in SCALES.values()]
    return [name, *(f"{each:,.1f} GB, {each * GIGABYTE_MONTH:,.2f} $ a month" for each in gigabytes)]


def _exact(used: dict[str, float]) -> list[str]:
    return ["exact, a query", *(_time(used["exact"] / 1e3 * count / 1e6) for count in SCALES.values())]


def _ivfpq(used: dict[str, float]) -> list[str]:
    times = []
    for count in SCALES.values():
        lists = 4 * count**0.5
        nearest_lists = used["exact"] / 1e3 * lists / 1e6
        times.append(nearest_lists + PROBES * count / lists * used["code"] / 1e9)
    return ["IVF-PQ, a query", *map(_time, times)]


def _all_pairs(used: dict[str, float]) -> list[str]:
    each = used["all pairs"] / MEASURED_PAIRS**2
    return ["exact, all against all", *(_time(each * count**2) for count in SCALES.values())]


def _limits(used: dict[str, float]) -> list[str]:
    by_time = WAIT_SECONDS * 1e3 / used["exact"]
    by_memory = MACHINE_GIGABYTES * 1e9 / (4 * WIDTH) / 1e6
    hour = MEASURED_PAIRS * (3600 / used["all pairs"]) ** 0.5
    return [
        f"- One machine answers exactly within {WAIT_SECONDS:g} s up to {by_time:,.1f} million pictures, and holds "
        f"{by_memory:,.0f} million.",
        f"- All against all, as measuring needs, takes an hour at {hour:,.0f} pictures.",
        *(
            []
            if math.isnan(used["recall"])
            else [f"- IVF-PQ found {used['recall']:.0%} of the ten nearest, see below."]
        ),
    ]


def _origins(rates: dict[str, dict[str, Any]]) -> list[str]:
    lines = ["| measured | value | by | on |", "|---|---:|---|---|"]
    for key in (*USED.values(), GPU_TRAIN):
        if key not in rates:
            lines.append(f"| `{key}` | {_UNKNOWN} | | |")
            continue
        one = rates[key]
        pixels = f", {one['pixels']} px" if "pixels" in one else ""
        value = f"{one['value']:,.4g}" if one["value"] < 1e4 else f"{one['value']:,.0f}"
        lines.append(f"| `{key}`{pixels} | {value} | `{one['command']}` | {one['date']}, {one['machine']} |")
    return lines


def _time(seconds: float) -> str:
    if math.isnan(seconds):
        return _UNKNOWN
    for unit, size in (("years", 31_557_600.0), ("days", 86_400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if seconds >= size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds * 1e3:.0f} ms" if seconds >= 0.01 else f"{seconds * 1e3:.2g} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="of IVF-PQ, into rates.json")
    parser.add_argument("--write", action="store_true", help="the tables into docs/scale.md")
    options = parser.parse_args()
    if options.measure:
        save_rates(measure())
    text = tables(read_rates())
    print(text)
    if options.write:
        before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}{text}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
