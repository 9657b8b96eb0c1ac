"""Engines: frozen backbones run in the fastest engine at hand, with torch's features."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from morelli import PaintersByNumbers
from morelli._files import cache_folder
from morelli.errors import MorelliError, MorelliWarning
from morelli.models import engines
from morelli.models.backbones import AnyBackbone, BackboneConfig, create_backbone
from morelli.models.engines import TOLERANCE, Engine, InferenceBackbone, engine_threads, engines_for
from morelli.models.features import features_of

CPU = torch.device("cpu")
OTHERS = ("openvino", "onnxruntime")


def make_backbone(**changes: object) -> AnyBackbone:
    torch.manual_seed(0)
    settings = {"name": "test_resnet", "weights": "none", "image_size": 32, "pool": "stages", **changes}
    return create_backbone(BackboneConfig.model_validate(settings))


@pytest.fixture(autouse=True)
def own_cache(cache: Path) -> Path:
    return cache


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The backbone that most tests take, kept for every engine."""
    folder = tmp_path_factory.mktemp("converted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MORELLI_CACHE", str(folder))
        for name in OTHERS:
            assert Engine(make_backbone().parts[0], name).run
    return folder / "engines"


@pytest.fixture
def kept(converted: Path, own_cache: Path) -> None:
    """It need not be converted again, which takes seconds."""
    shutil.copytree(converted, own_cache / "engines")


def files(suffix: str) -> list[Path]:
    return sorted((cache_folder() / "engines").glob(f"*{suffix}"))


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any number of pictures is worth a measurement."""
    monkeypatch.setattr(engines, "_FEW", 0)


def rates(monkeypatch: pytest.MonkeyPatch, **images_per_second: float) -> list[str]:
    """Let the clock say so; which engines were measured."""
    measured: list[str] = []

    def rate(engine: Engine) -> float:
        measured.append(engine.name)
        return images_per_second[engine.name]

    monkeypatch.setattr(engines, "_images_per_second", rate)
    return measured


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("changes", [{}, {"pool": "global", "in_chans": 1}, {"train": "all"}], ids=str)
def test_features_are_torchs(name: str, changes: dict[str, object]) -> None:
    backbone = make_backbone(**changes)
    (part,) = backbone.parts
    images = torch.rand(5, 3, changes.get("in_chans", 3), 32, 32)  # type: ignore[call-overload]

    with torch.no_grad():
        found, expected = Engine(part, name)(images), backbone(images)

    assert found.dtype == torch.float32
    assert found.shape == expected.shape
    assert float((found - expected).abs().max() / expected.abs().max()) <= TOLERANCE["f32"]


@pytest.mark.parametrize("name", OTHERS)
def test_a_folders_features_pass_through_the_engine(prepared: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    backbone = make_backbone(beside=("test_vit",), views=2, fit="squash")
    dataset = PaintersByNumbers(prepared)
    some = dataset.only(list(dataset.paintings["id"][:20]))
    expected = features_of(backbone, some, CPU)
    torch_folders = set((cache_folder() / "features").iterdir())
    monkeypatch.setenv("MORELLI_ENGINE", name)

    found = features_of(backbone, some, CPU)

    torch.testing.assert_close(found, expected, atol=1e-4 * float(expected.abs().max()), rtol=0)
    own = set((cache_folder() / "features").iterdir()) - torch_folders
    assert len(own) == len(torch_folders) == 2  # never mixed


@pytest.mark.usefixtures("many", "kept")
@pytest.mark.parametrize(
    ("openvino", "onnxruntime", "chosen"), [(12, 15, "openvino"), (10.5, 12, "onnxruntime"), (9, 10.5, "torch")]
)
def test_the_first_that_is_fast_enough_is_chosen_once(
    monkeypatch: pytest.MonkeyPatch, openvino: float, onnxruntime: float, chosen: str
) -> None:
    measured = rates(monkeypatch, torch=10, openvino=openvino, onnxruntime=onnxruntime)

    first = [one.name for one in engines_for(make_backbone(), CPU, pictures=1)]
    again = [one.name for one in engines_for(make_backbone(), CPU, pictures=1)]

    assert first == again == [chosen]
    assert measured == ["torch", "openvino", "onnxruntime"][: 2 if chosen == "openvino" else 3]


@pytest.mark.usefixtures("many", "kept")
def test_a_real_measurement_is_kept() -> None:
    (engine,) = engines_for(make_backbone(), CPU, pictures=1)

    (path,) = files(".json")
    noted = json.loads(path.read_text())
    speeds = noted["images_per_second"]
    fast = [name for name in ("openvino", "onnxruntime") if speeds.get(name, 0) >= 1.1 * speeds["torch"]]
    assert noted["engine"] == engine.name == next(iter(fast), "torch")


@pytest.mark.usefixtures("many", "kept")
@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"engine": "other"}'])
def test_a_damaged_choice_is_made_again(monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    measured = rates(monkeypatch, torch=1, openvino=2)
    engines_for(make_backbone(), CPU, pictures=1)
    files(".json")[0].write_text(damage)

    assert engines_for(make_backbone(), CPU, pictures=1)[0].name == "openvino"
    assert len(measured) == 4


@pytest.mark.usefixtures("kept")
def test_few_pictures_wait_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = rates(monkeypatch, torch=1, openvino=2)

    assert engines_for(make_backbone(), CPU, pictures=2)[0].name == "torch"
    assert not measured

    engines_for(make_backbone(), CPU, pictures=1_000_000)
    # What is kept on disk must be found again whatever the number; what is not goes the shorter way.
    assert engines_for(make_backbone(), CPU, pictures=2, is_cached=True)[0].name == "openvino"
    assert engines_for(make_backbone(), CPU, pictures=2)[0].name == "torch"


@pytest.mark.usefixtures("many", "kept")
def test_onnxruntime_is_next_and_torch_last(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = rates(monkeypatch, torch=1, openvino=2, onnxruntime=2)
    lacking = {"openvino"}
    monkeypatch.setattr(engines, "find_spec", lambda name: None if name in lacking else True)

    assert engines_for(make_backbone(), CPU, pictures=1)[0].name == "onnxruntime"

    lacking.add("onnxscript")
    assert engines_for(make_backbone(), CPU, pictures=1)[0].name == "torch"
    assert measured == ["torch", "onnxruntime"]


@pytest.mark.usefixtures("kept")
def test_an_engine_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "onnxruntime", "openvino"):
        monkeypatch.setenv("MORELLI_ENGINE", name)
        assert engines_for(make_backbone(), CPU, pictures=1)[0].name == name

    monkeypatch.setenv("MORELLI_ENGINE", "openvin")
    with pytest.raises(MorelliError, match=r'none of torch, openvino, onnxruntime. Did you mean "openvino"'):
        engines_for(make_backbone(), CPU, pictures=1)

    monkeypatch.setenv("MORELLI_ENGINE", "onnxruntime")
    monkeypatch.setattr(engines, "find_spec", lambda _: None)
    with pytest.raises(MorelliError, match=r"needs onnxruntime. Install: pip install onnxruntime"):
        engines_for(make_backbone(), CPU, pictures=1)


class Off(torch.nn.Module):
    """Another function when it is traced, as a network with branches of its own may be."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3)) + (1.0 if torch.jit.is_tracing() else 0.0)


@pytest.mark.usefixtures("many")
def test_an_engine_with_other_features_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    rates(monkeypatch, torch=1, openvino=2, onnxruntime=1)
    backbone = make_backbone(pool="global")
    backbone.net = Off()

    with pytest.warns(MorelliWarning, match=r"openvino cannot run test_resnet: its features are off.* runs in torch."):
        assert engines_for(backbone, CPU, pictures=1)[0].name == "torch"

    monkeypatch.setenv("MORELLI_ENGINE", "openvino")
    with pytest.raises(MorelliError, match=r"off by .* Set MORELLI_ENGINE=torch"):
        engines_for(backbone, CPU, pictures=1)
    assert not files(".xml")


class Foreign(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.linalg.pinv(images.mean(1).numpy())).mean(1)


@pytest.mark.usefixtures("many")
def test_a_network_that_cannot_be_converted_stays_in_torch() -> None:
    backbone = make_backbone(pool="global")
    backbone.net = Foreign()

    with pytest.warns(MorelliWarning, match="cannot run test_resnet") as said:
        assert engines_for(backbone, CPU, pictures=1)[0].name == "torch"
    assert [str(one.message).partition(" ")[0] for one in said] == ["openvino", "onnxruntime"]


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("damage", ["empty", "weights"])
def test_a_damaged_network_in_the_cache_is_converted_again(name: str, damage: str) -> None:
    backbone = make_backbone()
    images = torch.rand(3, 3, 32, 32)
    expected = Engine(backbone.parts[0], name)(images)
    (path,) = files(".bin" if name == "openvino" else ".onnx")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4000] = bytes(4000)
    path.write_bytes(b"" if damage == "empty" else content)

    found = Engine(backbone.parts[0], name)(images)

    assert torch.equal(found, expected)


@pytest.mark.usefixtures("kept")
def test_threads_share_the_batches(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MORELLI_ENGINE", "openvino")
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        inference = InferenceBackbone(engines_for(make_backbone(), CPU, pictures=1))
        assert inference.start() == engine_threads() == 4
        features_of(make_backbone(), PaintersByNumbers(prepared), CPU)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_nothing_is_reported_to_anyone(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO's own converter sends what it did to its makers unless it is told not to."""
    import openvino_telemetry

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("telemetry")

    monkeypatch.setattr(openvino_telemetry.Telemetry, "__init__", refuse)
    Engine(make_backbone().parts[0], "openvino").run(np.zeros((1, 3, 32, 32), np.float32))


@pytest.mark.usefixtures("kept")
def test_bfloat16_is_computed_where_asked_for_and_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    (plain,), (half,) = make_backbone().parts, make_backbone(precision="bf16").parts
    images = torch.rand(5, 3, 32, 32)

    monkeypatch.setattr(engines, "_has_bf16", lambda: False)
    assert Engine(half, "openvino").label == Engine(plain, "openvino").label
    monkeypatch.setattr(engines, "_has_bf16", lambda: True)
    engine = Engine(half, "openvino")
    assert engine.label.endswith(" bf16")
    assert engine.fingerprint != Engine(plain, "openvino").fingerprint
    assert Engine(half, "onnxruntime").precision == Engine(half, "torch").precision == "f32"
    expected = Engine(plain, "openvino")(images)
    found = engine(images)  # a processor without it computes the same more slowly
    assert float((found - expected).abs().max() / expected.abs().max()) <= TOLERANCE["bf16"]
