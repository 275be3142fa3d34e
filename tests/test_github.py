"""What GitHub and pre-commit read: it runs what run.py runs, on the Pythons and with the ruff that we name."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.project_files import ROOT

WORKFLOWS = ROOT / ".github" / "workflows"
FORM = ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml"
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def triggers(workflow):
    """YAML 1.1 takes the key `on` for the value true."""
    return workflow[True]


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", sorted(WORKFLOWS.glob("*.yml")), ids=lambda path: path.stem)
def test_a_workflow_is_whole_and_may_only_read(path):
    workflow = read(path)
    assert workflow["name"] and triggers(workflow) and workflow["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 60 for job in workflow["jobs"].values())
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"]) for step in steps(workflow) if "uses" in step)


def test_the_tests_run_the_readmes_command_everywhere():
    workflow = read(WORKFLOWS / "test.yml")
    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]
    assert {name.split("-")[0] for name in matrix["os"]} == {"ubuntu", "windows", "macos"}
    assert matrix["python"] == ["3.10", "3.11", "3.12", "3.13"]
    assert f'requires-python = ">={matrix["python"][0]}"' in PYPROJECT
    commands = [step["run"] for step in steps(workflow) if "run" in step]
    assert commands == ["python run.py test"]
    assert commands[0] in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_tag_publishes_the_version_that_it_names():
    workflow = read(WORKFLOWS / "publish.yml")
    assert triggers(workflow) == {"push": {"tags": ["v*"]}}
    check, publish = steps(workflow)[1:]
    (pattern,) = re.findall(r"s/(.*)/\\1/p", check["run"])
    version = re.search(pattern.replace(r"\(", "(").replace(r"\)", ")"), PYPROJECT, re.MULTILINE)
    assert version and re.fullmatch(r"\d+\.\d+\.\d+", version[1])
    assert publish["uses"].startswith("Comfy-Org/publish-node-action@")
    assert publish["with"] == {"personal_access_token": "${{ secrets.REGISTRY_ACCESS_TOKEN }}"}


def test_the_issue_form_asks_for_what_an_answer_needs():
    form = read(FORM)
    assert form["name"] and form["description"]
    fields = {field["id"]: field for field in form["body"]}
    assert {"what", "comfyui", "family", "log"} <= {
        name for name, field in fields.items() if field.get("validations", {}).get("required")
    }
    assert all(field["attributes"]["label"] for field in fields.values())
    assert fields["family"]["type"] == "dropdown" and len(fields["family"]["attributes"]["options"]) >= 3


def test_pre_commit_has_the_same_ruff():
    (repository,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    pinned = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")
    assert f"ruff=={repository['rev'].removeprefix('v')}\n" in pinned
    assert [hook["id"] for hook in repository["hooks"]] == ["ruff-check", "ruff-format"]
