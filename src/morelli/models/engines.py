"""Inference engines: frozen backbones in OpenVINO or onnxruntime, where they are faster on a processor than in torch.

Torch runs on a GPU, a module of one's own, and where few pictures pass. Elsewhere OpenVINO and then onnxruntime, as far
as they are installed, are measured once for each model, size and machine, and the first that is at least 1.1 times as
fast as torch is chosen. The choice and the converted network are kept in the cache folder. ``MORELLI_ENGINE`` names one
engine for all.
"""

import hashlib
import json
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache, cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from joblib import Parallel, delayed
from PIL import Image
from pydantic import BaseModel
from torch import Tensor, nn

from morelli._files import UnreadableError, cache_folder, written_whole
from morelli._json import read_json, write_json
from morelli._processes import on_main_process
from morelli.errors import MorelliError, MorelliWarning, did_you_mean, first_line
from morelli.models.backbones import AnyBackbone, Backbone, SingleBackbone
from morelli.models.onnx import onnx_program

Run = Callable[[np.ndarray], np.ndarray]
"""Images (B, channels, H, W) → features (B, width), float32; several threads may call it at once."""

TOLERANCE: Final = {"f32": 1e-4, "bf16": 0.1}
"""How far an engine's features may be from torch's float32, of the largest feature, by what it computes in."""
_GAIN = 1.1
_FEW = 300 * 224**2
"""Pixels of all views below which converting and measuring take longer than they save."""
_BATCH, _ROUNDS = 8, 3
_SET_TORCH = " Set MORELLI_ENGINE=torch."
_MOST_STREAMS = 8
"""Batches that pass an engine at once, a core for each; with more cores each takes several."""


def _openvino(backbone: Backbone, images: Tensor, path: Path) -> Run:
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    if not path.is_file():
        # openvino.convert_model does the same, and reports to its makers.
        frontend = FrontEndManager().load_by_framework("pytorch")
        decoder = TorchScriptPythonDecoder(backbone, example_input=images)  # must outlive the next line
        model = frontend.convert(frontend.load(decoder))
        model.reshape([-1, *images.shape[1:]])
        with written_whole(path.with_suffix(".bin")) as weights, written_whole(path) as temporary:
            openvino.serialize(model, temporary, weights)
    hints: dict[str, Any] = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": _precision(backbone)}
    hints |= {"NUM_STREAMS": _streams(), "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = openvino.Core().compile_model(path, "CPU", hints)
    own = threading.local()

    def run(images: np.ndarray) -> np.ndarray:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        return np.array(own.request.infer(images, share_inputs=True)[0])

    return run


def _onnxruntime(backbone: Backbone, images: Tensor, path: Path) -> Run:
    from onnxruntime import InferenceSession, SessionOptions

    if not path.is_file():
        with written_whole(path) as temporary:
            onnx_program(backbone, (images,), names=["images"], output="features").save(temporary)
    options = SessionOptions()
    options.intra_op_num_threads = max(1, torch.get_num_threads() // _streams())
    session = InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: np.asarray(session.run(None, {"images": images})[0])


_ENGINES: Final[dict[str, tuple[Callable[[Backbone, Tensor, Path], Run], str, tuple[str, ...]]]] = {
    "openvino": (_openvino, ".xml", ("openvino",)),
    "onnxruntime": (_onnxruntime, ".onnx", ("onnxruntime", "onnxscript")),
}
"""In the order in which they are tried: how one is made, its file's suffix, and what it needs."""


def _precision(backbone: Backbone) -> str:
    """What OpenVINO computes in: bfloat16 where the config asks for it and the processor has it."""
    return "bf16" if backbone.config.precision == "bf16" and _has_bf16() else "f32"


@cache
def _has_bf16() -> bool:
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _streams() -> int:
    return min(_MOST_STREAMS, torch.get_num_threads())


def engine_threads() -> int:
    """Threads that prepare batches and pass them through an engine: one more than can pass it at once."""
    return _streams() + 1


class Engine:
    """One frozen backbone in one engine: images (B, channels, H, W) or (B, V, …) → features (B, width) or (B, V, …)."""

    def __init__(self, backbone: SingleBackbone, name: str) -> None:
        self.backbone, self.name = backbone, name

    @property
    def precision(self) -> str:
        """``f32``, or ``bf16`` where that is asked for and at hand; a GPU's is torch's own matter."""
        if self.name == "openvino" and isinstance(self.backbone, Backbone):
            return _precision(self.backbone)
        return "f32"

    @property
    def label(self) -> str:
        """The engine and its version, such as ``openvino 2026.4.1``, with `` bf16`` behind where it computes so."""
        return f"{self.name} {version(self.name)}" + (" bf16" if self.precision == "bf16" else "")

    @cached_property
    def fingerprint(self) -> str:
        """A digest of all that determines a picture's features, this engine included."""
        own = self.backbone.fingerprint()
        return own if self.name == "torch" else hashlib.sha256(f"{own} {self.label}".encode()).hexdigest()

    @cached_property
    def run(self) -> Run:
        """The network, converted and compared with torch's; read from the cache folder where it is there and sound.

        Raises:
            MorelliError: it cannot be converted, or gives other features.
        """
        assert isinstance(self.backbone, Backbone)
        self.backbone.eval()
        make, suffix, _ = _ENGINES[self.name]
        path = cache_folder() / "engines" / f"{self.fingerprint[:32]}{suffix}"
        shape = (2, self.backbone.channels, self.backbone.image_size, self.backbone.image_size)
        images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        for is_kept in (True, False) if path.is_file() else (False,):  # what cannot be converted is tried once
            if not is_kept:
                path.unlink(missing_ok=True)
            try:
                with torch.no_grad(), warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # tracing names every fixed size
                    run = make(self.backbone, images, path)
                    expected = self.backbone(images[:1]).numpy()
                error = float(np.abs(run(images[:1].numpy()) - expected).max() / max(np.abs(expected).max(), 1e-12))
                if error <= TOLERANCE[self.precision]:
                    return run
                reason = f"its features are off by {error:.0e} of the largest"
            except MemoryError:
                raise
            except Exception as failure:  # whatever an exporter meets in a network
                reason = first_line(failure)
        path.unlink(missing_ok=True)
        raise MorelliError(f"{self.name} cannot run {self.backbone.config.name}: {reason}.{_SET_TORCH}")

    def __call__(self, images: Tensor) -> Tensor:
        if self.name == "torch":
            features: Tensor = self.backbone(images)
            return features
        if images.ndim == 5:
            return torch.stack([self(view) for view in images.unbind(1)], dim=1)
        return torch.from_numpy(self.run(images.contiguous().numpy()))


class InferenceBackbone(nn.Module):
    """A backbone's parts, each in its engine: what :meth:`transform` gives, in batches → features, side by side."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        super().__init__()
        self.engines = tuple(engines)
        self.parts = nn.ModuleList(one.backbone for one in engines)  # so that they move to a device
        settings = [one.backbone.input_settings for one in engines]
        self._inputs = [settings.index(one) for one in settings]  # the first part that takes the same
        self._transforms = {place: engines[place].backbone.transform() for place in sorted(set(self._inputs))}

    def start(self) -> int:
        """Make the engines ready; → threads that are to call them at once, 0 where torch itself uses all cores."""
        others = [one.run for one in self.engines if one.name != "torch"]
        return engine_threads() if others else 0

    def transform(self, picture: Image.Image) -> tuple[Tensor, ...]:
        """An RGB picture → the different inputs of its parts."""
        return tuple(transform(picture) for transform in self._transforms.values())

    def forward(self, images: Sequence[Tensor]) -> Tensor:
        of_place = dict(zip(self._transforms, images, strict=True))
        return torch.cat([one(of_place[place]) for one, place in zip(self.engines, self._inputs, strict=True)], dim=-1)


def engines_for(backbone: AnyBackbone, device: torch.device, *, pictures: int, is_cached: bool = False) -> list[Engine]:
    """The engine of each part of a backbone that is not trained meanwhile.

    Args:
        device: where torch would run it.
        pictures: that will pass.
        is_cached: features are kept on disk, so what was once chosen counts for few pictures too.

    Raises:
        MorelliError: ``MORELLI_ENGINE`` names an engine that is not installed or cannot run it.
    """
    return [Engine(part, _chosen(part, device, pictures, is_cached)) for part in backbone.parts]


def _chosen(backbone: SingleBackbone, device: torch.device, pictures: int, is_cached: bool) -> str:
    asked = _asked()
    if device.type != "cpu" or not isinstance(backbone, Backbone) or asked == "torch":
        return "torch"
    if asked:
        on_main_process(lambda: bool(Engine(backbone, asked).run))
        return asked
    names = [name for name, (_, _, needs) in _ENGINES.items() if all(map(find_spec, needs))]
    is_few = pictures * backbone.config.views * backbone.image_size**2 < _FEW
    if not names or (is_few and not is_cached):
        return "torch"
    return on_main_process(lambda: _recorded(backbone, names, is_few))


def _asked() -> str | None:
    asked = os.environ.get("MORELLI_ENGINE") or None
    if asked is None or asked == "torch":
        return asked
    if asked not in _ENGINES:
        known = ("torch", *_ENGINES)
        raise MorelliError(f"MORELLI_ENGINE is {asked}, none of {', '.join(known)}.{did_you_mean(asked, known)}")
    if missing := [name for name in _ENGINES[asked][2] if find_spec(name) is None]:
        raise MorelliError(f"MORELLI_ENGINE={asked} needs {missing[0]}. Install: pip install {missing[0]}")
    return asked


class _Measured(BaseModel):
    engine: str


def _recorded(backbone: Backbone, names: Sequence[str], is_few: bool) -> str:
    """What was measured once for the same model, size, machine and versions, or is now."""
    engines = [Engine(backbone, name) for name in names]
    facts = [backbone.config.name, backbone.config.pool, backbone.image_size, torch.__version__]
    facts += [one.label for one in engines]
    facts += [torch.backends.cpu.get_cpu_capability(), os.cpu_count(), torch.get_num_threads()]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
    path = cache_folder() / "engines" / f"{digest}.json"
    with suppress(UnreadableError):  # measured again
        chosen = read_json(path, _Measured).engine
        if chosen in ("torch", *names):
            return chosen
    if is_few:
        return "torch"
    chosen, rates = _measured(backbone, engines)
    about = {"facts": facts, "images_per_second": rates, "engine": chosen}
    write_json(path, about)
    return chosen


def _measured(backbone: Backbone, engines: Sequence[Engine]) -> tuple[str, dict[str, float]]:
    """The first engine that is fast enough, and the images per second of those that were tried."""
    rates, failures, chosen = {"torch": _images_per_second(Engine(backbone, "torch"))}, [], "torch"
    for engine in engines:
        try:
            engine.run  # noqa: B018  # converted before anything is measured
        except MorelliError as error:
            failures.append(str(error).removesuffix(_SET_TORCH))
            continue
        rates[engine.name] = _images_per_second(engine)
        if rates[engine.name] >= _GAIN * rates["torch"]:
            chosen = engine.name
            break
    for failure in failures:
        warnings.warn(f"{failure} It runs in {chosen}.", MorelliWarning, stacklevel=2)
    return chosen, rates


def _images_per_second(engine: Engine) -> float:
    """The best of some rounds after the first, as pictures pass: in threads, but for torch."""
    backbone, threads = engine.backbone, engine_threads()
    assert isinstance(backbone, Backbone)
    batches = [torch.zeros(_BATCH, backbone.channels, backbone.image_size, backbone.image_size)] * threads
    seconds = []
    for _ in range(1 + _ROUNDS):
        started = time.perf_counter()
        list(in_threads(engine, batches, 0 if engine.name == "torch" else threads))
        seconds.append(time.perf_counter() - started)
    return round(_BATCH * threads / min(seconds[1:]), 1)


def in_threads(work: Callable[[Any], Any], items: Iterable[Any], threads: int) -> Iterator[Any]:
    """Do ``work`` on items without gradients, in order; with ``threads`` torch takes one core in each."""

    def without_gradient(item: Any) -> Any:
        with torch.inference_mode():
            return work(item)

    if not threads:
        yield from map(without_gradient, items)
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield from Parallel(threads, backend="threading", return_as="generator")(
            delayed(without_gradient)(item) for item in items
        )
    finally:
        torch.set_num_threads(before)
