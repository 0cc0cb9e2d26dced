"""The site of the documentation, as far as it can be held without its generator: pages, navigation, lists."""

from __future__ import annotations

import re
from pathlib import Path

from tools import check_links, site

ROOT = Path(__file__).parents[2]


def named_in_navigation() -> set[str]:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    return set(re.findall(r"^ *- (\S+\.md)(?: #.*)?$", text.partition("\nnav:\n")[2], re.MULTILINE))


def test_every_page_is_in_the_navigation_and_nothing_else_is() -> None:
    pages = {page.relative_to(ROOT).as_posix() for page in check_links.markdown(ROOT)}
    notes = {page for page in pages if page.startswith("docs/decisions/")}
    assert named_in_navigation() == pages - notes | {"docs/decisions/README.md"}


def test_a_page_of_the_site_lists_the_decisions(tmp_path: Path) -> None:
    site.collect(ROOT, tmp_path)
    listed = (tmp_path / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    notes = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    assert re.findall(r"^- \[.+\]\((.+)\)$", listed, re.MULTILINE) == notes


def test_links_hold_among_the_pages_as_the_site_has_them(tmp_path: Path) -> None:
    site.collect(ROOT, tmp_path)
    assert (tmp_path / "README.md").is_file()
    assert (tmp_path / "docs" / "plan.svg").is_file()
    assert list(check_links.dead_links(tmp_path)) == []


def test_pages_of_an_earlier_build_do_not_stay(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    site.collect(ROOT, pages)
    (pages / "gone.md").write_text("# Gone\n", encoding="utf-8")
    site.collect(ROOT, pages)
    assert not (pages / "gone.md").exists()


def test_what_belongs_to_an_item_is_indented_by_four() -> None:
    text = "1. one\n   more\n\n   ```sh\n   run\n     deeper\n   ```\n\n2. two\n\nafter\n"
    assert site.indented(text) == ("1. one\n    more\n\n    ```sh\n    run\n      deeper\n    ```\n\n2. two\n\nafter\n")


def test_lists_in_lists_are_indented_by_four_for_each_level() -> None:
    text = "- one\n  - two\n    more\n    - three\n  - two\n- one\n"
    assert site.indented(text) == "- one\n    - two\n        more\n        - three\n    - two\n- one\n"


def test_a_list_right_below_a_paragraph_gets_a_blank_line() -> None:
    assert site.indented("these:\n- one\n- two\n") == "these:\n\n- one\n- two\n"
    assert site.indented("- one\n  more\n- two\n") == "- one\n    more\n- two\n"


def test_code_is_left_as_it_is() -> None:
    text = "```\n- not a list\n  1. nor this\n```\n\n- a list\n"
    assert site.indented(text) == text
