"""A model goes to the hub with its card and comes back the same; the hub's own client talks to a server of ours."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import ModelCard

sys.path.insert(0, str(Path(__file__).parents[1]))
from hub_server import SIGNATURE, TOKEN, HubServer
from morelli import MorelliError, Painters
from morelli.bench.run_folder import RunFolder
from morelli.gallery.hub import push
from morelli.models.model_folder import EVAL_RESULTS

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # inside the hub's client
FILES = ["README.md", "model.safetensors", "network.json"]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with HubServer() as server:
        server.use(monkeypatch, tmp_path / "home")
        yield server


def test_a_model_comes_back_the_same(
    hub: HubServer, model: Path, painters: Painters, pictures: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert push(model, "ada/hands") == f"{hub.url}/ada/hands"
    assert sorted(hub.models["ada/hands"]) == [EVAL_RESULTS, *FILES]
    assert hub.private["ada/hands"]
    hub.models["ada/hands"]["evil.pkl"] = b"cos\nsystem\n"

    monkeypatch.chdir(tmp_path)
    fetched = Painters.load("ada/hands")

    assert not any("evil.pkl" in asked for asked in hub.requests)
    assert sorted(path.name for path in fetched.model.iterdir()) == FILES
    assert fetched.fingerprint == painters.fingerprint
    file = next(pictures.rglob("*.png"))
    assert torch.equal(fetched.embed(file), painters.embed(file))
    found = fetched.index(pictures, tmp_path / "some.index")
    hub.models.clear()
    assert Painters.of_index(found.path).fingerprint == painters.fingerprint  # from the client's cache


def test_a_folder_here_comes_first(
    hub: HubServer, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(model, tmp_path / "ada" / "hands")
    monkeypatch.chdir(tmp_path)
    assert Painters.load("ada/hands").model == Path("ada/hands")
    assert hub.requests == []


def test_a_public_model_is_asked_for(hub: HubServer, model: Path) -> None:
    push(model / "model", "ada/hands", public=True)
    assert not hub.private["ada/hands"]


def test_an_older_run_gets_its_card_and_a_lone_model_is_not_shared_without(
    hub: HubServer, model: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(model, run)
    (run / "model" / "README.md").unlink()
    shutil.copytree(run / "model", tmp_path / "lone")
    with pytest.raises(MorelliError, match=r"has no README\.md"):
        push(tmp_path / "lone", "ada/hands")
    assert hub.requests == []
    push(run, "ada/hands")
    assert hub.models["ada/hands"]["README.md"] == (model / "model" / "README.md").read_bytes()


def test_the_card_tells_data_measures_and_limits(model: Path) -> None:
    card = ModelCard.load(model / "model" / "README.md")
    run = RunFolder(model)
    results = {result.metric_type: result.metric_value for result in card.data.eval_results}
    unseen = run.metrics["unseen"]
    assert results["pair_auc"] == unseen["pair_auc"]
    args = next(result.metric_args for result in card.data.eval_results if result.metric_type == "pair_auc")
    assert args == {"interval_95": unseen["interval"]["pair_auc"], "artists": unseen["artists"]}
    assert (card.data.library_name, card.data.pipeline_tag) == ("morelli", "image-feature-extraction")
    network = Painters.load(model).network.card
    low, high = unseen["interval"]["pair_auc"]
    assert f"| pair AUC | {unseen['pair_auc']:.3f} ({low:.3f} to {high:.3f}) |" in card.text
    assert f"| {len(network.training_artists)} | train: {len(network.training_paintings)} paintings |" in card.text
    assert f"| {unseen['artists']} | measure, as unseen artists: {unseen['paintings']} paintings |" in card.text
    assert f"{unseen['realised_far_balanced']:.1%} of pairs by different hands" in card.text
    assert "evidence, not authentication" in card.text
    assert "## Limits" in card.text
    assert str(model) not in card.content
    assert not any(artist in card.content for artist in network.training_artists)


def test_results_lie_beside_it_as_hubs_read_them(model: Path) -> None:
    parse = pytest.importorskip("huggingface_hub", "1.4").parse_eval_result_entries
    entries = parse(yaml.safe_load((model / "model" / EVAL_RESULTS).read_text()))
    unseen = RunFolder(model).metrics["unseen"]
    assert {one.dataset_id for one in entries} == {"morelli/tiny"}
    assert all(one.value == unseen[one.task_id] for one in entries)
    (auc,) = (one for one in entries if one.task_id == "pair_auc")
    low, high = unseen["interval"]["pair_auc"]
    assert auc.notes.startswith(
        f"{unseen['pair_auc']:.3f} ({low:.3f} to {high:.3f}), 95 % interval over artists; unseen"
    )


def test_what_is_not_there_or_cannot_be_reached_is_said(
    hub: HubServer, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MorelliError, match=r"no folder ada/none.*not there, or not for you.*hf auth login"):
        Painters.load("ada/none")
    with pytest.raises(MorelliError, match="holds no trained model"):
        Painters.load("ada/none/model")  # no name on the hub
    with pytest.raises(MorelliError, match=r"called OWNER/NAME.*not \"\.\./hands\""):
        push(model, "../hands")
    hub.use(monkeypatch, tmp_path / "home", token="hf_wrong")
    with pytest.raises(MorelliError, match=r"ada/hands could not be put.*hf auth login"):
        push(model, "ada/hands")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(MorelliError, match=r"127\.0\.0\.1:9 cannot be reached"):
        Painters.load("ada/none")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MorelliError, match="HF_HUB_OFFLINE"):
        Painters.load("ada/none")


def test_a_cache_of_the_client_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied", str(tmp_path / "hub"))

    monkeypatch.setattr("morelli.models.model_folder.snapshot_download", refuse)
    with pytest.raises(MorelliError, match=r"hub: Permission denied\. HF_HOME names a folder for the client's files"):
        Painters.load("someone/painters")


def test_no_secret_is_told(
    hub: HubServer,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    hub.refuse_uploads = True
    with pytest.raises(MorelliError, match="answered with status 500") as refused:
        push(model, "ada/hands")
    said = "".join([str(refused.value), caplog.text, *capfd.readouterr()])
    assert sum("PUT /upload/" in asked for asked in hub.requests) > 1
    assert SIGNATURE not in said
    assert TOKEN not in said
