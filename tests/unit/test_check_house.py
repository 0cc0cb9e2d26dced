"""The check of the house: each rule finds the sample that breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import check_house

NONE = check_house.Lists({}, {}, {}, {}, {})


def found(folder: Path, text: str, lists: check_house.Lists = NONE) -> list[str]:
    """What is said of a package of one module."""
    package = folder / "package"
    package.mkdir()
    (package / "module.py").write_text(text, encoding="utf-8")
    return list(check_house.problems(package, lists))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('raise StoreError("The bucket is away")', "begins in lower case"),
        ('raise StoreError("the bucket is away.")', "no full stop"),
        ('raise errors.StoreError(f"{name} is away.")', "no full stop"),
        ('raise StoreError(f"Object {name} is away")', "begins in lower case"),
        ('raise StoreError("a" if x else "Another", hint="b")', "begins in lower case"),
        ('fail(why, hint="Plan again")', "begins in lower case"),
        ('Problem(code="store", message="It failed", hint="")', "begins in lower case"),
        ('HINT = "Plan again"\nfail(why, hint=HINT)', "begins in lower case"),
        ('session.note(f"{name} is saved.")', "no full stop"),
        ('Form(Code.X, "fine", "mount its drive.")', "no full stop"),
    ],
)
def test_a_message_in_another_voice_is_found(text: str, said: str, tmp_path: Path) -> None:
    (told,) = found(tmp_path, text + "\n")
    assert said in told
    assert told.startswith("package/module.py:1: ")


@pytest.mark.parametrize(
    "text",
    [
        'raise StoreError("the bucket is away", hint="run again")',
        'raise StoreError("Firestore is away")',
        'raise StoreError("URLs cannot be signed")',
        'raise ValueError("Not one of ours.")',
        'raise StoreError(f"{name} is away: {why}")',
    ],
)
def test_other_messages_pass(text: str, tmp_path: Path) -> None:
    assert found(tmp_path, text + "\n") == []


def test_a_long_module_is_found(tmp_path: Path) -> None:
    (told,) = found(tmp_path, "x = 1\n" * (check_house.LINES + 1))
    assert told.startswith("package/module.py: 401 lines")


def test_a_class_of_many_attributes_is_found(tmp_path: Path) -> None:
    fields = "".join(f"    field_{at}: int\n" for at in range(6))
    assigned = "".join(f"        self.value_{at} = self.value_0 = {at}\n" for at in range(7))
    (told,) = found(tmp_path, f"class Wide:\n{fields}    def __init__(self):\n{assigned}")
    assert told.startswith("package/module.py:Wide: 13 attributes")


def test_a_name_of_two_classes_is_found(tmp_path: Path) -> None:
    (told,) = found(tmp_path, "class Twin: ...\n\n\nclass Twin: ...\n")
    assert told.startswith("Twin is the name of several classes")


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("os.replace(a, b)", "os.replace"),
        ("os.rename(a, b)", "os.rename"),
        ("os.unlink(a)", "os.unlink"),
        ("os.fsync(fd)", "os.fsync"),
        ("os.open(a, os.O_RDONLY)", "os.open"),
        ("fresh.replace(place)", ".replace"),
        ("(folder / name).rename(place)", ".rename"),
        ("path.unlink(missing_ok=True)", ".unlink"),
    ],
)
def test_a_step_that_another_program_may_prevent_is_for_the_rooms_that_are_patient(
    text: str, call: str, tmp_path: Path
) -> None:
    (told,) = found(tmp_path, f"def act():\n    {text}\n")
    assert told.startswith(f"package/module.py:2: {call} outside of the rooms for it")


@pytest.mark.parametrize("text", ["thread.join()", "future.result()", "child.wait()", "self.pool[0].result()"])
def test_a_wait_without_an_end_is_found_with_the_function_that_it_is_in(text: str, tmp_path: Path) -> None:
    (told,) = found(tmp_path, f"class A:\n    def act(self):\n        if ready:\n            x = [{text}]\n")
    assert told.startswith(f"package/module.py:4: {text[text.rindex('.') :]} in A.act has no time-out")


@pytest.mark.parametrize(
    "text",
    [
        'text.replace("a", "b")',
        "structs.replace(value, name=1)",
        "files.replace(a, b)",
        "files.remove(a)",
        '", ".join(names)',
        "thread.join(1)",
        "child.wait(timeout=1)",
        "session.result(made, show)",
    ],
)
def test_other_calls_of_these_names_pass(text: str, tmp_path: Path) -> None:
    assert found(tmp_path, f"{text}\n") == []


def test_a_function_may_wait_without_an_end_if_it_is_listed(tmp_path: Path) -> None:
    text = "def act():\n    thread.join()\n\n\ndef other():\n    thread.join()\n"
    (told,) = found(tmp_path, text, NONE._replace(waits={"package/module.py:act": "the thread has ended"}))
    assert "in other has" in told


def test_what_is_listed_may_break_its_rule(tmp_path: Path) -> None:
    lists = NONE._replace(same={"Twin": "two halves"})
    assert found(tmp_path, "class Twin: ...\n\n\nclass Twin: ...\n", lists) == []


def test_what_keeps_to_a_rule_again_goes_from_its_list(tmp_path: Path) -> None:
    lists = NONE._replace(long={"package/module.py": "to be split"})
    assert found(tmp_path, "x = 1\n", lists) == ["package/module.py keeps to the rule now: take it off the list"]
