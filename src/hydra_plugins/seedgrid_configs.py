"""What Hydra loads of this project to find a user's own configs before the package's."""

from hydra._internal.core_plugins import file_config_source  # not the class: Hydra would count it as a plugin of ours
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin


class OwnConfigs(file_config_source.FileConfigSource):
    """A user's folder: its options of the package's groups, and nothing else in it.

    The configs that commands begin with are the package's, whatever lies beside the groups; so is what Hydra itself
    begins with, but for the launchers. Which folders, says :mod:`seedgrid.configs`.
    """

    @staticmethod
    def scheme() -> str:
        return "seedgrid"

    def load_config(self, config_path: str) -> ConfigResult:
        from seedgrid.configs import reading_own

        with reading_own(self.path, config_path):
            return super().load_config(config_path)

    def available(self) -> bool:
        return super().is_group("")

    def is_group(self, config_path: str) -> bool:
        return _of_a_group(f"{config_path}/") and super().is_group(config_path)

    def is_config(self, config_path: str) -> bool:
        return _of_a_group(config_path) and super().is_config(config_path)

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        return super().list(config_path, results_filter) if _of_a_group(f"{config_path}/") else []


def _of_a_group(path: str) -> bool:
    from seedgrid.configs import GROUPS

    return path.startswith(tuple(f"{group}/" for group in GROUPS))


class OwnSearchPath(SearchPathPlugin):
    """Puts a user's folders in front of the package's; other programs' search paths stay as they are."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        from seedgrid.configs import CONF, own_folders

        if any(element.provider == "main" and element.path == str(CONF) for element in search_path.get_path()):
            for folder in own_folders():
                path = f"{OwnConfigs.scheme()}://{folder}"
                search_path.prepend(provider="own", path=path, anchor=SearchPathQuery(provider="main"))
