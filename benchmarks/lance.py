"""Search beyond memory: recall, time and memory of LanceDB's IVF-PQ on an index's embeddings, repeated to a million.

Run it with:  python benchmarks/lance.py my-pictures.index --rows 1000000 [--save]

Every embedding of the index, but for some held back as queries, is repeated with noise as large as the distance to its
nearest real neighbour. What IVF-PQ finds is scored again with the network's own scorer, and compared with the 12 that
are nearest among all.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
import torch
from lancedb.index import IvfPq
from torch.nn import functional

from _rates import machine, median, peak_megabytes, save_rates
from morelli.gallery.index import PictureIndex
from morelli.gallery.store import vector_type
from morelli.models.heads import CosineScorer

K, QUERIES, BLOCK = 12, 200, 20_000
SWEEP = ((10, 200), (20, 200), (20, 500), (40, 500), (40, 1000), (80, 1000), (160, 2000))
"""Lists looked through, and candidates scored again, until 0.95 are found."""


def blocks(known: torch.Tensor, rows: int, spread: float) -> Iterator[torch.Tensor]:
    """The embeddings again and again, each time with other noise."""
    random = torch.Generator().manual_seed(0)
    for start in range(0, rows, BLOCK):
        places = torch.arange(start, min(start + BLOCK, rows)) % len(known)
        noise = torch.randn(len(places), known.shape[1], generator=random)
        yield functional.normalize(known[places] + spread * functional.normalize(noise, dim=1), dim=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("index", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--lists", type=int, default=500)
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    every = functional.normalize(PictureIndex.load(options.index).pictures.embeddings, dim=1)
    every = every[torch.randperm(len(every), generator=torch.Generator().manual_seed(0))]
    queries, known = every[:QUERIES], every[QUERIES:]
    nearest = (known @ known.T).fill_diagonal_(-1).max(dim=1).values
    spread = float((2 - 2 * nearest).sqrt().median())
    print(f"{machine()}\n{len(known)} embeddings, {options.rows} rows, noise {spread:.2f}", flush=True)
    best = torch.empty(QUERIES, 0)
    for block in blocks(known, options.rows, spread):
        best = torch.cat([best, queries @ block.T], dim=1).topk(K).values
    threshold = best[:, -1:]  # who scores at least this is among the exact ones
    with tempfile.TemporaryDirectory() as folder:
        kind = pa.schema([("vector", vector_type(known.shape[1]))])
        made = (
            pa.record_batch([pa.FixedSizeListArray.from_arrays(pa.array(one.numpy().ravel()), type=kind[0].type)], kind)
            for one in blocks(known, options.rows, spread)
        )
        started = time.perf_counter()
        table = lancedb.connect(folder).create_table("pictures", made, schema=kind)
        written = time.perf_counter() - started
        started = time.perf_counter()
        how = {"num_partitions": options.lists, "num_sub_vectors": known.shape[1] // 8, "max_iterations": 10}
        table.create_index("vector", config=IvfPq("cosine", sample_rate=32, **how))
        built = time.perf_counter() - started
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / 1e9
        print(f"written in {written:.0f} s, IVF-PQ built in {built:.0f} s, {size:.2f} GB on disk", flush=True)
        found: dict[str, float] = {}
        for lists, candidates in SWEEP:
            seconds, recalls = [], []
            for query, least in zip(queries, threshold, strict=True):
                started = time.perf_counter()
                near = table.search(query.numpy()).distance_type("cosine").nprobes(lists).limit(candidates).to_arrow()
                rows = torch.from_numpy(
                    near["vector"].combine_chunks().flatten().to_numpy().copy().reshape(len(near), -1)
                )
                scores = CosineScorer().matrix(query[None], rows)[0].topk(K).values
                seconds.append(time.perf_counter() - started)
                recalls.append(float((scores >= least - 1e-5).float().mean()))
            found = {"recall": float(np.mean(recalls)), "milliseconds": 1e3 * median(seconds)}
            print(
                f"{lists} lists, {candidates} candidates: recall of the exact {K} {found['recall']:.3f}, "
                f"{found['milliseconds']:.1f} ms a query, peak {peak_megabytes():.0f} MB",
                flush=True,
            )
            if found["recall"] >= 0.95:
                break
    if options.save:
        name = f"lance_{options.rows}"
        save_rates(
            {
                f"{name}_recall_at_{K}": found["recall"],
                f"{name}_milliseconds_a_query": found["milliseconds"],
                f"{name}_build_seconds": written + built,
                f"{name}_disk_gigabytes": size,
                f"{name}_peak_megabytes": peak_megabytes(),
            },
            lists=lists,
            candidates=candidates,
        )


if __name__ == "__main__":
    main()
