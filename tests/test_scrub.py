"""Removing a credential from what comes back."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.scrub import Known, Scrubber
from tests.samples import KEY

TOKEN = b"seks_fake"
#: Few letters, so that forms overlap, contain and begin one another.
FORMS = st.lists(st.text("ab", min_size=1, max_size=5).map(str.encode), min_size=1, max_size=4)
TEXTS = st.text("abc", max_size=30).map(str.encode)
CUTS = st.lists(st.integers(0, 30))


def chunks(text: bytes, cuts: list[int]) -> list[bytes]:
    """Split a text at the given places, some of them twice: empty chunks come too."""
    places = sorted([0, *(min(cut, len(text)) for cut in cuts), len(text)])
    return [text[start:end] for start, end in itertools.pairwise(places)]


def scrubbed(forms: list[bytes], text: bytes) -> tuple[bytes, int]:
    """The plainest way to do it: from left to right, the longest form that stands here goes."""
    clean, count, position = b"", 0, 0
    while position < len(text):
        here = max((form for form in forms if text.startswith(form, position)), key=len, default=b"")
        clean += b"#" if here else text[position : position + 1]
        position += len(here) or 1
        count += bool(here)
    return clean, count


def scrubber(*forms: bytes) -> Scrubber:
    return of_pairs(*((form, b"#") for form in forms))


def of_pairs(*pairs: tuple[bytes, bytes]) -> Scrubber:
    """One that looks for these and nothing else."""
    return Scrubber([Known("", "", pairs)])


@given(FORMS, TEXTS, CUTS)
def test_any_split_gives_the_same(forms: list[bytes], text: bytes, cuts: list[int]) -> None:
    """However the text arrives, the result and the count are those of the whole text."""
    stream = scrubber(*forms)

    clean = b"".join([*map(stream.feed, chunks(text, cuts)), stream.finish()])

    assert (clean, stream.count) == scrubbed(forms, text)
    assert not any(form in clean for form in forms)


@given(FORMS, TEXTS)
def test_whole(forms: list[bytes], text: bytes) -> None:
    """A text that stands for itself is scrubbed as a stream of it is, and leaves the stream alone."""
    one = scrubber(*forms)
    before = one.feed(forms[0][:-1])

    clean = one.whole(text)

    assert (clean, one.count) == scrubbed(forms, text)
    assert before + one.finish() == forms[0][:-1] or len(forms) > 1


@given(TEXTS, CUTS, st.sampled_from([b"\n", b"\r\n\r\n", b" ", b"\t", b"data: x\n\n"]))
def test_a_break_lets_all_out(text: bytes, cuts: list[int], last: bytes) -> None:
    """A text that ends in what no credential holds, as an event in a stream does, is out at once."""
    stream = scrubber(b"abab")

    out = b"".join([*map(stream.feed, chunks(text, cuts)), stream.feed(last)])

    assert out == scrubbed([b"abab"], text + last)[0]
    assert stream.finish() == b""


@given(
    st.lists(
        st.sampled_from([b"sk-aaaa", b"sk-aaa", b"%73k-", b"a", b"=\n", b"=", b" ", b"\n", b"x" * 3000]), max_size=8
    ),
    CUTS,
)
def test_the_cuts_say_nothing(parts: list[bytes], cuts: list[int]) -> None:
    """Whatever is guessed, what comes out when is the same for any two credentials that aren't there."""
    text = b"".join(parts)
    one, other = (Scrubber([Known(value, "T")]) for value in ("sk-aaaaaaaaaaaaaaaab", "zz-0123456789abcdefg"))

    assert [one.feed(piece) for piece in chunks(text, cuts)] == [other.feed(piece) for piece in chunks(text, cuts)]


@given(st.lists(st.sampled_from([b"s", b"=\n", b"=\r\n", b"%73", b"&#115", b"x" * 500]), max_size=400), CUTS)
def test_little_is_held(parts: list[bytes], cuts: list[int]) -> None:
    """However many beginnings there are, and folds that stand for nothing."""
    stream, came, out = Scrubber([Known(KEY, "T")]), 0, 0

    for piece in chunks(b"".join(parts), cuts):
        came += len(piece)
        out += len(stream.feed(piece))
        assert came - out <= 1024


@given(st.lists(st.binary(min_size=4, max_size=12), max_size=3), st.binary(max_size=60), CUTS)
def test_a_text_without_the_credential_passes(forms: list[bytes], text: bytes, cuts: list[int]) -> None:
    """Any bytes without a form come out as they went in."""
    forms = [form for form in forms if form not in text]
    stream = scrubber(*forms)

    clean = b"".join([*map(stream.feed, chunks(text, cuts)), stream.finish()])

    assert (clean, stream.count) == (text, 0)


@pytest.mark.parametrize(
    ("forms", "pieces", "wanted"),
    [
        (["abcd"], ["xabcdx"], "x#x"),
        (["abcd"], ["xab", "cdx"], "x#x"),
        (["abcd"], list("xabcdx"), "x#x"),
        (["abcd"], ["abc", "x"], "abcx"),
        (["abcd"], ["abc"], "abc"),
        (["abcd"], ["abab", "cd"], "ab#"),
        (["abcd"], ["abcdabcd"], "##"),
        (["abcd", "ab"], ["ab", "cd"], "#"),
        (["abcd", "ab"], ["ab", "x"], "#x"),
        (["ab", "abcd"], ["ab"], "#"),
        (["abcd", "bc"], ["abc", "d"], "#"),
        (["abcd", "bc"], ["abc", "x"], "a#x"),
        (["abcd", "cde"], ["abc", "de"], "#e"),
        (["aa"], ["a", "a", "a"], "#a"),
        ([], ["abc"], "abc"),
        ([""], ["abc"], "abc"),
        (["ABCD"], ["abcd"], "abcd"),
        (["a.c", "(b"], ["abc a.c (b"], "abc # #"),
    ],
)
def test_known_answers(forms: list[str], pieces: list[str], wanted: str) -> None:
    """Forms that begin, contain and overlap one another, in one piece and in many."""
    stream = scrubber(*(form.encode() for form in forms))

    assert b"".join([*(stream.feed(piece.encode()) for piece in pieces), stream.finish()]) == wanted.encode()


def test_each_form_has_its_own_replacement() -> None:
    """What is written instead is what belongs to the form, and isn't looked at again."""
    stream = of_pairs((b"one", b"two"), (b"two", b"three"))

    assert stream.feed(b"one, two.") + stream.finish() == b"two, three."
    assert stream.count == 2


def test_fragments_stay() -> None:
    """All but one byte of a credential passes: masking fragments would tell a guesser how far he is right."""
    stream = of_pairs((KEY.encode(), TOKEN))
    text = (KEY[:-1] + "|" + KEY[1:] + "|").encode()

    assert stream.feed(text) + stream.finish() == text
    assert stream.count == 0


def test_a_long_stream_is_not_kept() -> None:
    """What is held never grows, however many beginnings of a form there are."""
    stream = of_pairs((KEY.encode(), TOKEN))
    passed = 0

    for _ in range(1000):
        passed += len(stream.feed(KEY[:-1].encode()))

    assert passed >= 1000 * len(KEY[:-1]) - 1024


def test_add() -> None:
    """What is added counts from the next bytes on, also for what is held; a known form keeps its token."""
    scrubber = of_pairs((b"first-key", b"ONE"))

    assert scrubber.feed(b"second-key first-k") == b"second-key "
    scrubber.add([Known("", "", ((b"second-key", b"TWO"), (b"first-key", b"OTHER"), (b"", b"NOTHING")))])

    assert scrubber.feed(b"ey sec") + scrubber.feed(b"ond-key\n") == b"ONE TWO\n"
    assert scrubber.count == 2
