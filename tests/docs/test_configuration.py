"""The page of all keys is what the configs and their comments make of it."""

from omegaconf import OmegaConf


def test_the_page_is_what_the_configs_make_of_it(generator):
    assert generator.PAGE.read_text() == generator.page(), "conf/ has changed: run make docs"


def test_the_simple_reading_of_a_file_finds_the_keys_that_omegaconf_finds(generator):
    files = sorted(generator.CONF.rglob("*.yaml"))
    assert len(files) > 40
    for path in files:
        if path.parent.name == "help":
            continue  # Hydra's own texts
        keys = dict(_leaves(OmegaConf.to_container(OmegaConf.load(path))))
        read = {key.path: key.value for key in generator.read(path).keys}
        assert read.keys() == keys.keys(), path
        for name, value in keys.items():
            again = OmegaConf.to_container(OmegaConf.create(f"value: {read[name]}"))["value"]
            assert again == value, f"{path}: {name}"


def _leaves(node, path=""):
    for key, value in node.items():
        if key == "defaults":
            continue
        if value and isinstance(value, dict):
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def test_every_key_that_a_user_may_set_is_explained(generator):
    rows = [line for line in generator.page().splitlines() if line.startswith("| `")]
    assert len(rows) > 120
    unexplained = [row for row in rows if row.split(" | ")[-1].strip(" |") == "" and row.count(" | ") == 3]
    assert unexplained == []


def test_a_type_and_its_range_are_said_in_words(generator):
    recipe = generator.TextSettings
    assert generator.allowed_at(recipe, "recipe.warmup", None) == "number, ≥ 0, < 1"
    assert generator.allowed_at(recipe, "task.source.text", "glue").startswith("list (text) or list (integer)")
    assert generator.allowed_at(recipe, "task.source.text", "files") == "text"
    assert generator.allowed_at(recipe, "model.layers", None) == "integer, ≥ 1 or `null`"
