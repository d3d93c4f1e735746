"""CSV and TSV are read as they were written, with quotes or without; no example vanishes in a text."""

from __future__ import annotations

import csv
import io
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedgrid.errors import InputError
from seedgrid.training.text.data.delimited import read_rows

USED = ("text", "label")
# Examples before and after the one in question, whose labels are those that there are.
REST = [["fine", "pos"], ["bad", "neg"], ["good", "pos"], ["poor", "neg"]]


def rows_of(text, separator="\t", used=USED):
    return read_rows("FILE", text, separator, used)[1]


def unquoted(rows, separator="\t"):
    return "".join(separator.join(row) + "\n" for row in [USED, *rows])


def quoted(rows, separator="\t", quoting=csv.QUOTE_MINIMAL):
    file = io.StringIO()
    csv.writer(file, delimiter=separator, quoting=quoting).writerows([USED, *rows])
    return file.getvalue()


MARKS = [
    ['"Lovely soup, I will come again', "pos"],
    ['he shouted: awful"', "neg"],
    ['"Lovely" soup', "pos"],
    ['5" of snow', "neg"],
    ['"', "pos"],
]


def test_a_tsv_without_quoting_keeps_every_example_and_every_mark():
    for first, second in itertools.product(MARKS, repeat=2):
        rows = [*REST, first, *REST, second, *REST]
        assert rows_of(unquoted(rows)) == rows, (first, second)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.tuples(st.text(st.sampled_from('ab" ,'), min_size=1), st.sampled_from(["pos", "neg"])),
        min_size=1,
    )
)
def test_no_example_of_a_tsv_without_quoting_vanishes_unsaid(rows):
    try:
        read = rows_of(unquoted(rows))
    except InputError as error:
        assert "FILE, line" in str(error)
    else:
        assert [label for _, label in read] == [label for _, label in rows]


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.text(st.sampled_from('ab" ,\t\n'), min_size=1), max_size=6),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_a_tsv_with_quoting_is_read_to_the_letter_or_refused(texts, quoting):
    rows = [*REST, *([text, "pos"] for text in texts)]
    try:
        assert rows_of(quoted(rows, quoting=quoting)) == rows
    except InputError as error:
        assert "one text in quotes, or an example a line" in str(error)


@pytest.mark.parametrize("separator", [",", "\t"])
@pytest.mark.parametrize(
    "text", ["two\nlines", "a, b\nc, d", 'so he said:\n"no"\n', "\n", "a,pos\nb, c\nd", "\r", "a\tb\n\nc"]
)
def test_a_text_of_several_lines_is_one_text(separator, text):
    rows = [*REST, [text, "pos"], *REST]
    assert rows_of(quoted(rows, separator), separator) == rows
    label_first = [row[::-1] for row in rows]
    file = quoted(label_first, separator).replace(separator.join(USED), separator.join(USED[::-1]), 1)
    assert rows_of(file, separator) == label_first


def test_a_csv_whose_quotes_hide_examples_is_refused_with_the_lines():
    rows = [*REST, ['"Lovely soup', "pos"], *REST, ['awful"', "neg"]]
    with pytest.raises(InputError, match=r"^FILE, lines 6 to 11: one text in quotes, or an example a line"):
        rows_of(unquoted(rows, ","), ",")


def test_a_mended_line_of_a_quoted_tsv_does_not_leave_the_quotes_of_the_others():
    text = quoted([['"So" he said', "pos"], *REST]) + '"half a text\tneg\n'
    with pytest.raises(InputError, match=r"^FILE, line 7: unexpected end of data"):
        rows_of(text)


@pytest.mark.parametrize(("written", "ending"), [(";", ","), ("\t", ","), (",", "\t")])
def test_another_separator_is_known_by_the_names_of_the_columns(written, ending):
    rows = [["soup, bread and tea", "pos"], ["so; so", "neg"], ["tab\there", "pos"]]
    assert rows_of(quoted(rows, written), ending) == rows


def test_the_endings_own_separator_goes_before_others():
    assert read_rows("FILE", "text,label,text;label\na,b,c\n", ",", USED)[1] == [["a", "b", "c"]]


def test_long_texts_are_read():
    text = "word " * 100_000
    assert rows_of(quoted([[text, "pos"]], ","), ",") == [[text, "pos"]]
