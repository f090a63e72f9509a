"""Settings of the documentation site: ``sphinx-build -W docs build/site``."""

import re

import qpsbgd

REPOSITORY = "https://github.com/qpsbgd/qpsbgd"

project = "qpsbgd"
author = "qpsbgd maintainers"
copyright = author
release = version = qpsbgd.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "qpsbgd"
html_static_path = []
html_theme_options = {
    "source_repository": REPOSITORY,
    "source_branch": "main",
    "source_directory": "docs/",
}

myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "show_memory": False,
    "download_all_examples": False,
}


def _link_repository(app, name, content):
    """Turn links to files outside docs/ into links to the repository."""
    content[0] = re.sub(r"\]\(\.\./([^)]*)\)", rf"]({REPOSITORY}/blob/main/\1)", content[0])


def setup(app):
    """Connect the events of the build."""
    app.connect("source-read", _link_repository)
