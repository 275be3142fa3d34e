"""The list of mutations is in step with the code; that each is noticed is a slow test."""

from __future__ import annotations

import ast

import pytest

from tests.faults import mutations
from tests.faults.mutations import MUTATIONS, ROOT, Mutation, break_line, first_failure

IDS = [mutation.name for mutation in MUTATIONS]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=IDS)
def test_a_mutation_can_be_made(tmp_path, mutation):
    """Its line stands once, what it becomes is Python, and its tests are there."""
    target = tmp_path / mutation.file
    target.parent.mkdir(parents=True)
    target.write_text((ROOT / mutation.file).read_text(encoding="utf-8"), encoding="utf-8")
    before = break_line(tmp_path, mutation)
    after = target.read_text(encoding="utf-8")
    assert ast.dump(ast.parse(before)) != ast.dump(ast.parse(after))
    for test in mutation.tests:
        file, _, rest = test.partition("::")
        text = (ROOT / file).read_text(encoding="utf-8")
        assert all(f" {part}(" in text or f" {part}:" in text for part in rest.split("::") if part)


@pytest.mark.slow
def test_every_mutation_is_noticed():
    assert [m.name for m, noticed, _ in mutations.try_all(MUTATIONS) if not noticed] == []


def test_a_mutation_that_nothing_notices_is_told(monkeypatch, capsys):
    monkeypatch.setattr(mutations, "try_all", lambda chosen: [(chosen[0], "", 1.0), (chosen[1], "test_x", 1.0)])
    assert mutations.main([]) == 1
    shown = capsys.readouterr().out.splitlines()
    assert "| NOTHING |" in shown[2] and "| test_x |" in shown[3]


def test_the_test_that_failed_is_found_in_what_pytest_says():
    said = "..F\nFAILED tests/x.py::test_a[1] - assert 1 == 2\n1 failed"
    assert first_failure(said) == "tests/x.py::test_a[1]" and first_failure("3 passed") == ""


def test_a_line_that_is_not_there_is_told(tmp_path):
    (tmp_path / "x.py").write_text("a = 1\n")
    with pytest.raises(AssertionError, match="stands 0 times"):
        break_line(tmp_path, Mutation("x", "x.py", "b = 1", "b = 2", ()))
