"""tav_core/batch/hashes.py: what a folder's hash depends on."""

from __future__ import annotations

from tav_core.batch.hashes import hash_path


def test_folders_that_are_linked_into_it_count_with_what_is_in_them(tmp_path):
    """A folder that was put together from parts of others."""
    model, linked = tmp_path / "model", tmp_path / "linked"
    for part in ("unet", "other"):
        (model / part).mkdir(parents=True)
        (model / part / "weights").write_text(part)
    linked.mkdir()
    (linked / "unet").symlink_to(model / "unet", target_is_directory=True)
    known = {}
    first = hash_path(linked, known)
    (linked / "unet").unlink()
    (linked / "unet").symlink_to(model / "other", target_is_directory=True)
    assert hash_path(linked, known) != first
    # A copy has the same, and a link to the folder above adds nothing.
    (linked / "unet").unlink()
    (linked / "unet").mkdir()
    (linked / "unet" / "weights").write_text("unet")
    (linked / "unet" / "back").symlink_to(linked, target_is_directory=True)
    assert hash_path(linked) == first


def test_hidden_files_do_not_count(tmp_path):
    (tmp_path / "weights").write_text("a")
    first = hash_path(tmp_path)
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "note").write_text("b")
    assert hash_path(tmp_path) == first
