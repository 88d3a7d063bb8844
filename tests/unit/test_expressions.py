"""Variables in expressions: replaced where SQL would read them, and left alone in quotes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaignpool.blueprint.compile.expressions import mentioned, substitute, variables_of
from campaignpool.blueprint.quote import ident, literal

VALUES = {"campaign": "(1)", "name": "(2)"}


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("$campaign", "(1)"),
        ("$name || $campaign", "(2) || (1)"),
        ("'$name' || $name", "'$name' || (2)"),
        ("'it''s $name'", "'it''s $name'"),
        ('"$name"', '"$name"'),
        ('"a""$name" || $name', '"a""$name" || (2)'),
        ("''||$name||''", "''||(2)||''"),
    ],
)
def test_variables_are_replaced_outside_quotes(expression: str, wanted: str) -> None:
    assert substitute(expression, VALUES) == wanted


def test_a_variable_that_is_not_there_is_named() -> None:
    assert variables_of("$camp + '$no' + $name") == {"camp", "name"}
    with pytest.raises(KeyError, match="camp"):
        substitute("$camp", VALUES)


@given(st.text(), st.text())
def test_what_is_quoted_is_never_read(text: str, name: str) -> None:
    quoted = f"'{text.replace(chr(39), chr(39) * 2)}' || {ident(name)}"
    assert substitute(quoted, VALUES) == quoted
    assert variables_of(quoted) == set()


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("lower(Name)", ("name",)),
        ('"with space" || id', ("with space", "id")),
        ("$name", ()),
        ('"$name"', ("$name",)),
        ("names", ()),
    ],
)
def test_columns_that_an_expression_may_read(expression: str, wanted: tuple[str, ...]) -> None:
    names = ("name", "with space", "id", "$name") if "$name" in wanted else ("name", "with space", "id")
    assert set(wanted) <= set(mentioned(expression, names))
    assert "names" in expression or mentioned(expression, ("other",)) == ()


@given(st.text(alphabet=st.characters(blacklist_characters="\0")))
def test_a_literal_is_one_string_whatever_is_in_it(text: str) -> None:
    quoted = literal(text)
    body = quoted.removeprefix("E")[1:-1]
    assert quoted[-1] == "'"
    assert body.replace("''", "").count("'") == 0
    plain = body.replace("''", "'")
    assert (plain.replace("\\\\", "\\") if quoted.startswith("E") else plain) == text
