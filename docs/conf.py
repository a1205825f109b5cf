import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "hst_assets"
author = "the hst_assets developers"
copyright = "2026, the hst_assets developers"
version = release = installed_version("hst_assets")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "numpydoc",
    "registries",
    "asset_graph",
]
root_doc = "index"
default_role = "py:obj"
exclude_patterns = ["_build"]
suppress_warnings = ["config.cache"]
# Quotes and ellipses alone: two hyphens begin an option, and are no dash.
smartquotes_action = "qe"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_attributes_as_param_list = True

html_theme = "furo"
html_title = "hst_assets"
html_static_path = ["_static"]
html_show_copyright = False
