"""A CSV is read as it was meant, or refused with its row."""

import codecs

import pytest

from speechbrain_ser.corpora.csv_table import read_table
from speechbrain_ser.utils.errors import InputError

COLUMNS = {"file": ("path",), "emotion": ("label",), "speaker": (), "start": ()}
HEADER = ["file", "emotion", "speaker"]
ROWS = [["a.wav", "ärgerlich", "1"], ["b c.wav", "yes", "ż"]]


def text_of(separator=",", rows=(HEADER, *ROWS), end="\n"):
    """A CSV's text."""
    return end.join(separator.join(row) for row in rows) + end


def read(tmp_path, data, **more):
    """Reads bytes or text."""
    path = tmp_path / "my.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_table(path, COLUMNS, **more)


def refusal(tmp_path, data, **more):
    """The sentence about bytes or text."""
    with pytest.raises(InputError) as error:
        read(tmp_path, data, **more)
    said = str(error.value)
    assert "\n" not in said and said.startswith(f"'{tmp_path / 'my.csv'}'")
    return said.removeprefix(f"'{tmp_path / 'my.csv'}'")


EXPECTED = [
    (number, dict(zip(HEADER, row))) for number, row in enumerate(ROWS, 2)
]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode(),
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    ],
    ids=["utf-8", "bom", "utf-16", "utf-16-be"],
)
def test_separators_and_encodings_are_told_apart(
    tmp_path, separator, end, encode
):
    """The same rows, however they are written."""
    found, comma = read(tmp_path, encode(text_of(separator, end=end)))
    assert found == EXPECTED
    assert comma == (separator != ",")


@pytest.mark.parametrize(
    "data, reason",
    [
        (text_of().encode("latin-1", "replace"), "is no UTF-8 (row 2: "),
        (text_of().encode("utf-16-le"), "is text without a mark of its enc"),
        (text_of().encode("utf-32"), "is text without a mark"),
        (b"\x00\x01\x02", "is text without a mark"),
        (codecs.BOM_UTF16_LE + b"a", "is no UTF-16 (row 1: "),
    ],
)
def test_other_encodings_are_refused(tmp_path, data, reason):
    """With what to do."""
    said = refusal(tmp_path, data)
    assert said.startswith(f" {reason}")
    assert said.endswith(": save it as CSV in UTF-8.")


@pytest.mark.parametrize(
    "header",
    [
        "File,EMOTION, Speaker ",
        "path,Label,speaker",
        '"file","emotion",speaker',
    ],
)
def test_headers_are_told_apart(tmp_path, header):
    """Capitals, blanks, quotes, and other names."""
    found, _ = read(tmp_path, header + "\na.wav , sad,1\n")
    assert found == [(2, dict(zip(HEADER, ["a.wav", "sad", "1"])))]


def test_columns_of_ones_own_keep_their_name(tmp_path):
    """A column without a name is left out, as pandas writes its index."""
    found, _ = read(tmp_path, ",file,Speaker ID,label,My  Note\n0,a,1,sad,x\n")
    assert found == [
        (2, {"file": "a", "speaker_id": "1", "emotion": "sad", "my_note": "x"})
    ]


def test_the_name_itself_comes_before_another_one(tmp_path):
    """`label` is then a column of one's own."""
    found, _ = read(tmp_path, "label,emotion,file\nx,sad,a\n")
    assert found[0][1] == {"label": "x", "emotion": "sad", "file": "a"}


def test_a_word_in_the_first_row_misleads_nobody(tmp_path):
    """More commas than semicolons, but the latter make columns."""
    text = "file;emotion;speaker;a,b,c,d,e\nx,y.wav;sad;1;2\n"
    found, comma = read(tmp_path, text)
    assert found[0][1]["file"] == "x,y.wav" and comma


def test_quoted_fields(tmp_path):
    """With separators, quotes and line breaks inside; rows are counted."""
    text = 'file,emotion,speaker\n"a,b.wav","so\ncalled ""sad""",1\nb,sad,2\n'
    found, _ = read(tmp_path, text)
    assert [number for number, _ in found] == [2, 4]
    assert found[0][1]["file"] == "a,b.wav"
    assert found[0][1]["emotion"] == 'so\ncalled "sad"'


def test_empty_rows_count_as_rows(tmp_path):
    """So that a number is that of an editor."""
    found, _ = read(tmp_path, "\n\nfile,emotion\n\n,\na,sad\n  \n")
    assert found == [(6, {"file": "a", "emotion": "sad"})]


def test_spreadsheets_may_name_the_separator(tmp_path):
    """By a first row `sep=;`, and end rows with empty fields."""
    text = "sep=;\nfile;emotion;speaker;;\na,b;sad;1;;\nb;sad;1;;;\n"
    found, _ = read(tmp_path, text)
    assert [row["file"] for _, row in found] == ["a,b", "b"]
    assert [number for number, _ in found] == [3, 4]


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "is empty: give a header, such as file,emotion,speaker"),
        (" \n\n", "is empty"),
        ("file,emotion,speaker\n", "has a header and no row"),
        ("a.wav,sad,1\nb.wav,sad,2\n", "row 1 is no header (a.wav, sad, 1)"),
        ("file,emotion,File\na,b,c\n", "row 1 has two columns file"),
        ("file,emotion,note,note\na,b,c,d\n", "row 1 has two columns note"),
        (
            "file,emotion,speaker\na,sad,1\na,sad\n",
            "row 3 has 2 fields, the header has 3 (file, emotion, speaker)",
        ),
        ("file,emotion\na,b,sad\n", "row 2 has 3 fields, the header has 2"),
        ('file,emotion\na,"sad\nb,c\n', "row 2 is no CSV ("),
        ('file,emotion\na,"s"ad\n', "row 2 is no CSV ("),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, text, reason):
    """With the row."""
    said = refusal(tmp_path, text)
    assert said.lstrip(", ").startswith(reason), said


def test_a_missing_column_is_named(tmp_path):
    """With the header's row, and what is there."""
    said = refusal(tmp_path, "\nfile,mood\na,b\n", required=("file", "emotion"))
    assert said.startswith(
        ", row 2 has no column emotion (there are file, mood): add it"
    )


def test_a_missing_file_is_refused(tmp_path):
    """Also a folder."""
    for path in (tmp_path / "no.csv", tmp_path):
        with pytest.raises(InputError, match="can't be read.*give a CSV"):
            read_table(path, COLUMNS)
