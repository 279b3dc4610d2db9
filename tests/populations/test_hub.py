"""Seeds of the hub: what is fetched, and when, is what counts.

This test's own hub is a folder, since none can be reached.
"""

import shutil
from fnmatch import fnmatch
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import tiny_llama
import tiny_pipelines
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from populations.diffusion import DiffusionModels
from populations.llm import LanguageModels
from populations.seeds.language_seeds import find


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Two repositories, mine/a and mine/b; gives the list of files that were fetched."""
    fetched = []
    for seed, name in enumerate("ab"):
        tiny_llama.save(tmp_path / "hub" / "mine" / name, seed=seed)
    (tmp_path / "hub" / "mine" / "b" / "README.md").write_text(
        "---\nlicense: mit\nbase_model: mine/base\n---\n"
    )

    def snapshot_download(name, revision=None, allow_patterns=()):
        there = tmp_path / "hub" / name
        if not there.is_dir():
            raise huggingface_hub.errors.LocalEntryNotFoundError("404 Client Error.\nmore")
        folder = tmp_path / "cache" / name.replace("/", "--") / "snapshots" / "c0ffee"
        folder.mkdir(parents=True, exist_ok=True)
        for path in there.iterdir():
            if (
                any(path.match(pattern) for pattern in allow_patterns)
                and not (folder / path.name).exists()
            ):
                shutil.copy(path, folder)
                fetched.append(f"{name}/{path.name}")
        return str(folder)

    def get_safetensors_metadata(name, revision=None):
        path = tmp_path / "hub" / name / "model.safetensors"
        if not path.exists():
            raise huggingface_hub.errors.NotASafetensorsRepoError(name)
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118
            info = {
                key: huggingface_hub.utils.TensorInfo(
                    dtype=s.get_dtype(), shape=s.get_shape(), data_offsets=(0, 0)
                )
                for key, s in tensors.items()
            }
        of_file = huggingface_hub.utils.SafetensorsFileMetadata(metadata={}, tensors=info)
        return huggingface_hub.utils.SafetensorsRepoMetadata(
            metadata=None,
            sharded=False,
            weight_map={},
            files_metadata={"model.safetensors": of_file},
        )

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr(huggingface_hub, "get_safetensors_metadata", get_safetensors_metadata)
    return fetched


def test_weights_are_fetched_after_all_is_known_to_fit(served):
    population = LanguageModels(["mine/a", "mine/b@c0ffee"])
    assert population.axis.size > 0
    assert served
    assert not [name for name in served if name.endswith(".safetensors")]
    second = population.founders(np.random.default_rng(0))[1]
    assert sorted(name for name in served if name.endswith(".safetensors")) == [
        "mine/a/model.safetensors",
        "mine/b/model.safetensors",
    ]
    words = torch.tensor([[5, 6]])
    assert torch.equal(
        population.express(second).model(words).logits,
        tiny_llama.tiny_llama(seed=1).model(words).logits,
    )
    assert population.card()["seeds"] == [
        {"name": f"mine/{name}", "repository": f"mine/{name}", "revision": "c0ffee"} | known
        for name, known in (("a", {}), ("b", {"license": ["mit"], "base_model": ["mine/base"]}))
    ]


def test_what_does_not_fit_is_known_before(served, tmp_path):
    save_file(
        {"model.norm.weight": torch.ones(3)}, tmp_path / "hub" / "mine" / "b" / "model.safetensors"
    )
    with pytest.raises(ValueError, match="seeds: mine/b@c0ffee: expected a tensor"):
        LanguageModels(["mine/a", "mine/b"]).axis  # noqa: B018
    assert not [name for name in served if name.endswith(".safetensors")]


def test_pickled_repositories_and_unknown_ones(served, tmp_path):
    (tmp_path / "hub" / "mine" / "b" / "model.safetensors").unlink()
    with pytest.raises(
        ValueError, match="seeds: mine/b: expected safetensors, the repository has none"
    ):
        LanguageModels(["mine/a", "mine/b"]).axis  # noqa: B018
    with pytest.raises(
        FileNotFoundError,
        match=r"no folder mine/c, and the hub .* either \(LocalEntryNotFoundError: 404 "
        r"Client Error.\)",
    ):
        LanguageModels(["mine/a", "mine/c"]).axis  # noqa: B018


def test_a_folder_goes_before_the_hub(served, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny_llama.save(Path("mine/a"), seed=3)
    assert find("mine/a").folder == Path("mine/a")
    assert not served


@pytest.fixture
def pipelines(tmp_path, monkeypatch):
    """Two repositories with pipelines, mine/a and mine/b.

    Gives the list of files that were fetched.
    """
    fetched, hub = [], tmp_path / "hub" / "mine"
    for name, seed in zip("ab", tiny_pipelines.saved(tmp_path / "made"), strict=True):
        shutil.copytree(seed, hub / name)
        torch.save(
            {}, hub / name / "unet" / "diffusion_pytorch_model.bin"
        )  # as many repositories have beside
    (hub / "a" / "LICENSE.md").write_text("Apache License\nVersion 2.0, January 2004\n")

    def snapshot_download(name, revision=None, allow_patterns=()):
        folder = tmp_path / "cache" / name.replace("/", "--") / "snapshots" / "c0ffee"
        for path in (tmp_path / "hub" / name).rglob("*"):
            of = path.relative_to(tmp_path / "hub" / name)
            if (
                path.is_file()
                and any(fnmatch(str(of), p) for p in allow_patterns)
                and not (folder / of).exists()
            ):
                (folder / of).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, folder / of)
                fetched.append(f"{name}/{of}")
        return str(folder)

    def parse_safetensors_file_metadata(name, file, revision=None):
        path = tmp_path / "hub" / name / file
        if not path.exists():
            raise huggingface_hub.errors.EntryNotFoundError(f"404: {file}")
        with safe_open(path, "pt") as opened:
            info = {
                key: huggingface_hub.utils.TensorInfo(
                    dtype=s.get_dtype(), shape=s.get_shape(), data_offsets=(0, 0)
                )
                for key in opened.keys()  # noqa: SIM118
                for s in [opened.get_slice(key)]
            }
        return huggingface_hub.utils.SafetensorsFileMetadata(metadata={}, tensors=info)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)

    def list_repo_files(name, revision=None):
        return [
            str(path.relative_to(tmp_path / "hub" / name))
            for path in (tmp_path / "hub" / name).rglob("*")
            if path.is_file()
        ]

    monkeypatch.setattr(
        huggingface_hub, "parse_safetensors_file_metadata", parse_safetensors_file_metadata
    )
    monkeypatch.setattr(huggingface_hub, "list_repo_files", list_repo_files)
    return fetched


def test_of_a_pipeline_what_is_needed_is_fetched_after_all_is_known_to_fit(pipelines, tmp_path):
    population = DiffusionModels(["mine/a", "mine/b"], components={"vae": 1})
    assert population.axis.size > 0
    assert not [name for name in pipelines if name.endswith(".safetensors")]
    second = population.express(population.founders(np.random.default_rng(0))[1])
    own = DiffusionModels(
        [tmp_path / "hub" / "mine" / "a", tmp_path / "hub" / "mine" / "b"], components={"vae": 1}
    )
    expected = own.express(own.founders(np.random.default_rng(0))[1])
    for part in ("unet", "vae", "text_encoder"):
        for tensor, other in zip(
            getattr(second, part).state_dict().values(),
            getattr(expected, part).state_dict().values(),
            strict=True,
        ):
            assert torch.equal(tensor, other), part
    weights = {name for name in pipelines if not name.endswith((".json", ".txt", ".model", ".md"))}
    assert weights == {
        "mine/a/unet/diffusion_pytorch_model.safetensors", "mine/a/text_encoder/model.safetensors",
        "mine/b/unet/diffusion_pytorch_model.safetensors",
        "mine/b/vae/diffusion_pytorch_model.safetensors",
    }  # fmt: skip
    known = [
        (seed["repository"], seed["revision"], seed.get("license"))
        for seed in population.card()["seeds"]
    ]
    assert known == [("mine/a", "c0ffee", ["apache-2.0"]), ("mine/b", "c0ffee", None)]
    assert population.sources()[0]["name"] == "mine/a@c0ffee"


@pytest.mark.parametrize(
    ("component", "stem"), [("unet", "diffusion_pytorch_model"), ("text_encoder", "model")]
)
def test_a_pickled_component_is_known_before(pipelines, tmp_path, component, stem):
    for name in "ab":
        folder = tmp_path / "hub" / "mine" / name / component
        (folder / f"{stem}.safetensors").unlink()
        torch.save({}, folder / f"{stem}.bin")
    with pytest.raises(
        ValueError,
        match=f"seeds: mine/a: {component}: expected safetensors, got pickled weights .{stem}.bin",
    ):
        DiffusionModels(["mine/a", "mine/b"]).axis  # noqa: B018
    assert not [name for name in pipelines if name.endswith((".safetensors", ".bin"))]


def test_of_a_variant_what_there_is_of_it_is_fetched(pipelines, tmp_path):
    """The U-Net of one repository has it, nothing else."""
    unet = tmp_path / "hub" / "mine" / "a" / "unet"
    shutil.copy(
        unet / "diffusion_pytorch_model.safetensors",
        unet / "diffusion_pytorch_model.fp16.safetensors",
    )
    population = DiffusionModels(["mine/a", "mine/b"], variant="fp16")
    population.express(population.founders(np.random.default_rng(0))[0])
    assert "mine/a/unet/diffusion_pytorch_model.fp16.safetensors" in pipelines
    assert "mine/a/unet/diffusion_pytorch_model.safetensors" not in pipelines
    assert {
        "mine/b/unet/diffusion_pytorch_model.safetensors",
        "mine/a/vae/diffusion_pytorch_model.safetensors",
    } <= set(pipelines)


def test_without_a_network_what_is_in_the_cache_will_do(pipelines, monkeypatch):
    first = DiffusionModels(["mine/a", "mine/b"])
    expected = first.express(first.founders(np.random.default_rng(0))[1]).unet.state_dict()

    def refuse(*_, **__):
        raise ConnectionError("no network")

    for name in ("list_repo_files", "parse_safetensors_file_metadata"):
        monkeypatch.setattr(huggingface_hub, name, refuse)
    again = DiffusionModels(["mine/a", "mine/b"])
    found = again.express(again.founders(np.random.default_rng(0))[1]).unet.state_dict()
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())


def test_a_header_that_the_hub_does_not_give_is_said(pipelines, monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr(huggingface_hub, "parse_safetensors_file_metadata", refuse)
    with pytest.raises(
        FileNotFoundError,
        match=r"seeds: mine/a: the hub does not give the headers of "
        r"unet/.*ConnectionError: no network",
    ):
        DiffusionModels(["mine/a", "mine/b"]).axis  # noqa: B018
