import pytest

from hst_assets.provenance import Recipe, Result, make
from hst_assets.workdir import WorkDir


@pytest.fixture
def workdir(tmp_path):
    return WorkDir(tmp_path, "field").create()


@pytest.fixture
def kitchen(workdir):
    """Make one product by a recipe; count how often it is really made."""

    class Kitchen:
        product = workdir.workspace / "product.txt"
        runs = 0

        def write(self, content):
            self.product.write_text(content)
            return Result((self.product,))

        def cook(self, recipe=None, *, content="done", redo=False):
            def run():
                self.runs += 1
                self.product.write_text(content)
                return Result((self.product,), {"runs": self.runs})

            return make(recipe or self.recipe(), self.product, workdir, run, redo=redo)

        @staticmethod
        def recipe(**changes):
            options = {
                "stage": "test",
                "code_version": "1",
                "inputs": {"a": "0" * 64},
                "settings": {"x": 1.5},
                "tools": ("numpy",),
                **changes,
            }
            return Recipe(**options)

    return Kitchen()
