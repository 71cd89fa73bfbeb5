"""Every file of the corpus, opened: the same bits, the same outputs.

`make test` opens each fifteenth model in one of its formats, and some in all;
`make test-corpus` opens everything, as `tests/corpus/opens.py` does for docs/formats.md.
"""

from __future__ import annotations

import json

import pytest
from corpus_models import HERE, Case, everything, verdict
from turns import ALL


def wanted() -> list[tuple[Case, str]]:
    """The pairs of a model and a format to open."""
    if ALL:
        return everything()
    forms: dict[str, list[tuple[Case, str]]] = {}
    for case, form in everything():
        forms.setdefault(case.name, []).append((case, form))
    found = []
    for number, pairs in enumerate(forms.values()):
        if number % 150 == 0:
            found += pairs
        elif number % 15 == 0:
            found.append(pairs[number // 15 % len(pairs)])
    return found


@pytest.mark.parametrize(("case", "form"), wanted(), ids=lambda part: getattr(part, "name", part))
def test_a_file_gives_the_model_that_was_saved(case: Case, form: str) -> None:
    assert verdict(case, form) == ("refused" if case.refused else "equal")


def test_the_list_of_what_opens_is_of_the_whole_corpus() -> None:
    listed = json.loads((HERE / "holdfast.json").read_text())
    files = {(case.name, form): case for case, form in everything()}
    assert {(name, form) for name, forms in listed.items() for form in forms} == set(files)
    wrong = {
        f"{name} {form}: {said}"
        for name, forms in listed.items()
        for form, said in forms.items()
        if said != ("refused" if files[name, form].refused else "equal")
    }
    assert wrong == set()
