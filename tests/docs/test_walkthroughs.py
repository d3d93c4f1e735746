"""The worked examples run as they stand on their pages, and what they say comes out."""

import pytest


@pytest.mark.parametrize("page", ["add-a-task.md", "add-a-model.md", "add-a-recipe.md"])
def test_a_worked_example_runs_and_prints_what_its_page_says(user, fences, repository, page):
    blocks = fences(repository / "docs" / page)
    assert any(block.language == "console" for block in blocks)
    if page != "add-a-task.md":  # its files are those that the others start from
        user.follow([block for block in fences(repository / "docs" / "add-a-task.md") if block.name])
    user.follow(blocks)
