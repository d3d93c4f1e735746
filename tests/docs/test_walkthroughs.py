"""The worked examples run as they stand on their pages, and what they say comes out."""

import pytest


@pytest.mark.parametrize("page", ["add-a-task.md", "add-a-model.md", "add-a-recipe.md"])
def test_a_worked_example_runs_and_prints_what_its_page_says(user, fences, repository, page):
    blocks = fences(repository / "docs" / page)
    assert any(block.language == "console" for block in blocks)
    user.follow(blocks)


def test_the_example_that_a_page_shows_is_the_one_that_is_written(fences, repository):
    [shown] = [block for block in fences(repository / "docs" / "add-a-task.md") if block.name]
    assert shown.text == (repository / "src" / "seedgrid" / "example" / shown.name).read_text()
