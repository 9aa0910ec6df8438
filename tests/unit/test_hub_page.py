"""What docs/hub.md gives to other programs is what they take: manifests for Kubernetes, scripts for SLURM."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.conftest import ToolFinder

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "hub.md").read_text("utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def _manifests() -> list[dict[str, Any]]:
    return [value for block in _blocks("yaml") for value in yaml.safe_load_all(block) if "apiVersion" in value]


@pytest.mark.parametrize("manifest", _manifests(), ids=lambda value: f"{value['kind']}-{value['metadata']['name']}")
def test_manifests_obey_the_schema_of_kubernetes(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, "1.29", strict=True)


def test_a_manifest_that_is_none_is_refused() -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**_manifests()[0], "replicas": 3}, "1.29", strict=True)


def test_manifests_go_together() -> None:
    """What a name stands for is there; no token of the cluster and no plain scheduler is anywhere."""
    names = {(each["kind"], each["metadata"]["name"]) for each in _manifests()}
    text = "\n".join(_blocks("yaml"))
    for name in re.findall(r"configMapRef: \{name: ([\w-]+)\}", text):
        assert ("ConfigMap", name) in names
    assert ("Service", "fleet-scheduler") in names
    assert "tls://fleet-scheduler:8786" in text
    assert "dask://" not in text
    pods = [each["spec"]["template"]["spec"] for each in _manifests() if each["kind"] in ("Deployment", "Job")]
    assert len(pods) == 3
    assert all(pod["automountServiceAccountToken"] is False for pod in pods)


def test_scripts_are_sound(tool: ToolFinder) -> None:
    shellcheck = tool("shellcheck")
    scripts = [block for block in _blocks("bash") if block.startswith("#!")]
    assert scripts
    for script in scripts:
        checked = subprocess.run(
            [shellcheck, "--shell=bash", "-"], input=script, capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_commands_of_workers_are_those_that_dask_has() -> None:
    """``dask scheduler`` and ``dask worker`` know every option that the page gives them."""
    from distributed.cli import dask_scheduler, dask_worker

    text = " ".join([*_blocks("yaml"), *_blocks("bash")])
    for command, name in ((dask_scheduler.main, "scheduler"), (dask_worker.main, "worker")):
        known = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
        used = {
            flag
            for line in re.findall(rf"dask,? {name}([^\n\]&]*)", text)
            for flag in re.findall(r"(?<![\w-])--[a-z-]+", line)
        }
        assert used
        assert used <= known
