"""The reference page and the README's list are those of the settings as they are."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from masks.binarize import RULES
from studio import cli, reference

ROOT = Path(__file__).resolve().parent.parent.parent
REMEDY = "out of date; run: python -m studio.reference --write"


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / reference.PAGE).read_text(encoding="utf-8") == reference.page(), f"{reference.PAGE} is {REMEDY}"


def test_the_readme_is_up_to_date() -> None:
    readme = (ROOT / reference.README).read_text(encoding="utf-8")
    assert reference.START in readme and reference.END in readme
    assert readme == reference.with_list(readme), f"{reference.README} is {REMEDY}"


def test_every_setting_and_every_command_has_its_place() -> None:
    page = reference.page()
    for kind in reference.KINDS:
        assert all(f"| `{field.name}` |" in page for field in fields(kind))
    assert all(f"### edit-real {name}\n" in page for name in cli.COMMANDS)


def test_a_new_choice_and_its_docstring_make_the_page_out_of_date(monkeypatch: pytest.MonkeyPatch) -> None:
    def thirds(heat: object, threshold: float | None = None) -> None:
        """Over a third of the range.

        And more that the page leaves out.
        """

    before = reference.page()
    monkeypatch.setitem(RULES, "thirds", thirds)  # type: ignore[arg-type]
    added = set(reference.page().splitlines()) - set(before.splitlines())
    assert "- `thirds`: Over a third of the range." in added
    assert any("`published`, `thirds`" in line for line in added)


def test_a_command_names_the_settings_that_it_takes_only_some_of() -> None:
    sections = reference.page().split("### edit-real ")
    said = {section.split("\n")[0]: section for section in sections[1:]}
    assert "Settings: [inversion](#inversion): `steps`." in said["attention"]
    assert said["edit"].rstrip().endswith("; [mask](#mask); [composite](#composite); [policy](#policy).")
    assert "Settings:" not in said["models"] and "| --- |" not in said["models"]


def test_writing_makes_both_up_to_date(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("docs").mkdir()
    reference.README.write_text(
        f"# Title\n\n{reference.START}| stale |\n{reference.END}\nThe rest.\n", encoding="utf-8"
    )
    monkeypatch.setattr("sys.argv", ["reference", "--write"])
    reference.main()
    written = reference.README.read_text(encoding="utf-8")
    assert written.startswith("# Title\n\n") and written.endswith("The rest.\n") and "stale" not in written
    assert "`mask_rule`" in written and written == reference.with_list(written)
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page()
