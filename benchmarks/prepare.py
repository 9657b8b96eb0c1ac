"""How fast `prepare` is on large JPEGs, and how much memory a worker needs.

Run it with:  python benchmarks/prepare.py [--count-12mp 96] [--rounds 3] [--save]

It makes JPEGs of 12 and 107 megapixels with the statistics of a photographed painting (detail that falls with the
frequency, a sensor's noise, and as many bits a pixel as the competition's large originals have). It times, with the
same number of processes and in turns:

- prepare: the whole of `morelli data prepare`, from the start of its processes to the finished folder;
- Pillow: the obvious loop, decode in full, LANCZOS, encode;
- floor: decode at reduced scale and encode, nothing else.

Every ratio comes from one run; the quickest of the rounds counts. Peak memory is the largest resident size that any
worker process ever had.
"""

import argparse
import os
import platform
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import PIL
from PIL import Image
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import numpy as np

# Every worker process imports this file, so what only the parent needs (numpy, pandas) is imported where it is used.

SIZE = 256
JPEG_QUALITY = 86  # gives 2.4 bits a pixel, the median of the competition's 1,405 originals of 8 to 20 megapixels
QUALITY = 92
SIDES = {"12 MP": (4000, 3000), "107 MP": (11950, 8950)}


def canvas(height: int, width: int) -> "np.ndarray":
    """Paint-like detail: light and colour with 1/f^1.2 spectra, colour the weaker, and a camera's noise on top."""
    import numpy as np

    random = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf

    def detail(falling: float) -> "np.ndarray":
        spectrum = np.fft.rfft2(random.standard_normal((height, width), np.float32)) / frequency**falling
        field = np.fft.irfft2(spectrum, (height, width))
        return field / field.std()

    light = 45 * detail(1.2)
    channels = [
        128 + light + 15 * detail(1.5) + 4 * random.standard_normal((height, width), np.float32) for _ in range(3)
    ]
    return np.clip(np.stack(channels, -1), 0, 255).astype(np.uint8)


def make_pictures(folder: Path, counts: dict[str, int]) -> None:
    """Write the JPEGs, one artist a size; each differs from the others by a shift of the same detail."""
    import numpy as np

    tile = canvas(3000, 4000)
    for name, (width, height) in SIDES.items():
        copies = -(-height // 3000), -(-width // 4000)
        whole = np.tile(tile, (*copies, 1))[:height, :width]
        (folder / name).mkdir()
        for index in range(counts[name]):
            shifted = np.roll(whole, 97 * index, axis=1)
            Image.fromarray(shifted).save(folder / name / f"{index:03d}.jpg", quality=JPEG_QUALITY)


def with_pillow(task: tuple[Path, Path]) -> None:
    """The obvious way: every pixel in full."""
    source, target = task
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(source) as image:
        scale = SIZE / min(image.size)
        size = round(image.width * scale), round(image.height * scale)
        image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(target, quality=QUALITY)


def bare(task: tuple[Path, Path]) -> None:
    """The floor: what libjpeg must do in any case."""
    source, target = task
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(source) as image:
        image.draft(None, (SIZE, SIZE))
        image.save(target, quality=QUALITY)


@dataclass
class Peak:
    """The largest resident size of any process below this one, in MB."""

    megabytes: float = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        while not self._stop.wait(0.02):
            self.megabytes = max([self.megabytes, *map(_high_water, _descendants(os.getpid()))])


def _descendants(pid: int) -> Iterator[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        for child in map(int, children.read_text().split()):
            yield child
            yield from _descendants(child)
    except OSError:  # it has just ended
        return


def _high_water(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return max((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), default=0)


@contextmanager
def peak_memory() -> Iterator[Peak]:
    peak = Peak()
    thread = threading.Thread(target=peak.watch)
    thread.start()
    try:
        yield peak
    finally:
        peak._stop.set()
        thread.join()


def in_processes(work: Callable[[tuple[Path, Path]], None], source: Path, out: Path, workers: int) -> None:
    """Run the plain loop over the same processes that prepare uses."""
    out.mkdir()
    tasks = [(file, out / file.name) for file in sorted(source.rglob("*.jpg"))]
    with ProcessPoolExecutor(workers, get_context("forkserver")) as executor:
        list(executor.map(work, tasks))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count-12mp", type=int, default=96)
    parser.add_argument("--count-107mp", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--save", action="store_true", help="write the figures into rates.json")
    options = parser.parse_args()
    counts = {"12 MP": options.count_12mp, "107 MP": options.count_107mp}
    console = Console(width=120)
    table = Table(
        title=f"prepare --size {SIZE}, {options.workers} processes, quickest of {options.rounds} rounds; "
        f"{platform.machine()}, Python {platform.python_version()}, Pillow {PIL.__version__}"
    )
    for heading in ("pictures", "way", "s per picture", "against prepare", "worker's peak, MB"):
        table.add_column(heading, justify="left" if heading in ("pictures", "way") else "right")
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        make_pictures(root, counts)
        for name, count in counts.items():
            rates = measure(root, name, count, options.rounds, options.workers, table) if count else {}
            if options.save and rates:
                from _rates import save_rates

                save_rates(rates)
    console.print(table)


def measure(root: Path, name: str, count: int, rounds: int, workers: int, table: Table) -> dict[str, float]:
    """Time the three ways in turns and add their rows to the table; → what is kept of them."""
    from morelli.preparation.prepare import prepare

    source, out = root / "source", root / "out"
    source.mkdir()
    (root / name).rename(source / name)
    ways: dict[str, Callable[[], object]] = {
        "prepare": lambda: prepare(source, out, size=SIZE, workers=workers),
        "Pillow, full decode + LANCZOS": lambda: in_processes(with_pillow, source, out, workers),
        "floor: reduced decode + encode": lambda: in_processes(bare, source, out, workers),
    }
    seconds = dict.fromkeys(ways, float("inf"))
    peaks = dict.fromkeys(ways, 0.0)
    for _ in range(rounds):
        for way, run in ways.items():
            with peak_memory() as peak:
                started = time.perf_counter()
                run()
                seconds[way] = min(seconds[way], time.perf_counter() - started)
            peaks[way] = max(peaks[way], peak.megabytes)
            if way == "prepare":
                kept = sum(file.stat().st_size for file in out.rglob("*.jpg")) / count
            shutil.rmtree(out)
    size = sum(file.stat().st_size for file in source.rglob("*.jpg")) / count / 1e6
    for way in ways:
        ratio = seconds[way] / seconds["prepare"]
        label = f"{count} of {name}, {size:.1f} MB" if way == "prepare" else ""
        table.add_row(label, way, f"{seconds[way] / count:.3f}", f"{ratio:.2f} x", f"{peaks[way]:.0f}")
    shutil.rmtree(source)
    key = f"prepare_{name.replace(' ', '').lower()}"
    return {
        f"{key}_ratio": seconds["floor: reduced decode + encode"] / seconds["prepare"],
        f"{key}_core_seconds_a_picture": workers * seconds["prepare"] / count,
        f"{key}_original_bytes": size * 1e6,
        f"{key}_kept_bytes": kept,
    }


if __name__ == "__main__":
    main()
