"""Every form in which a host may repeat a credential."""

import base64
import html
import html.entities
import json
import quopri
import random
import re
import struct
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seks_addon.base64_core import base64_core
from seks_addon.scrub import Known, Scrubber
from seks_addon.scrub.escapes import _Form
from tests.samples import KEY, TOKEN
from tests.test_scrub import CUTS, chunks

#: As vendors make them, and with characters that have a meaning in one of the forms.
CREDENTIALS = st.one_of(
    st.from_regex(r"(sk-|gh[ps]_|AKIA)[A-Za-z0-9_-]{12,40}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9+/]{14,40}={0,2}", fullmatch=True),
    st.text(st.sampled_from("ab%=&;\\/\"'#<>: éЖ€😀"), min_size=8, max_size=20),
)
NEIGHBOURS = st.binary(max_size=12) | st.sampled_from([b"%", b"=", b"\\", b"&#", b"\\u00", b"%7", b"=\r", b"sk-", b"s"])
NAMES = {meaning: name[:-1] for name, meaning in html.entities.html5.items() if name in ("sol;", "lowbar;")}
#: Nothing that a credential, or one of its forms, could be a part of.
STAND_IN = "~!~!~!~!~!~!"


def scrubbed(text: bytes, *credentials: str, cuts: list[int] | None = None) -> tuple[bytes, int]:
    stream = Scrubber([Known(credential, STAND_IN) for credential in credentials])
    clean = b"".join([*map(stream.feed, chunks(text, cuts or [])), stream.finish()])
    return clean, stream.count


def in_charset(name: str) -> Callable[[str], bytes]:
    """Raw where that has not all of it."""
    return lambda text: text.encode(name) if name.startswith("utf") or text.isascii() else text.encode()


def units(text: str) -> list[str]:
    """Of UTF-16, in hex."""
    return [unit.hex() for (unit,) in struct.iter_unpack("2s", text.encode("utf-16-be"))]


def json_escaped(text: str) -> bytes:
    return "".join(f"\\u{unit}" for unit in units(text)).encode()


def hex_entities(text: str) -> bytes:
    return "".join(f"&#x{ord(c):X};" for c in text).encode()


def entities(text: str) -> bytes:
    return "".join(f"&#{ord(c):04}" for c in text).encode() + b";"


def in_latin1(text: str) -> bytes:
    """Empty where it can't be said in it."""
    return b"" if max(text) > "\xff" else text.encode("latin-1")


def folded(text: str) -> bytes:
    return b"=\r\n".join(text[at : at + 3].encode() for at in range(0, len(text), 3))


FORMS: dict[str, Callable[[str], bytes]] = {
    "raw": str.encode,
    "hex": lambda text: text.encode().hex().encode(),
    "HEX": lambda text: text.encode().hex().upper().encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64, unpadded": lambda text: base64.b64encode(text.encode()).rstrip(b"="),
    "base64, url": lambda text: base64.urlsafe_b64encode(text.encode()),
    "base64, 1 before": lambda text: base64.b64encode(b":" + text.encode()),
    "base64, 2 before": lambda text: base64.b64encode(b"x:" + text.encode() + b"!"),
    "base64, 7 before": lambda text: base64.urlsafe_b64encode(b"x-user:" + text.encode() + b"\n"),
    "percent": lambda text: urllib.parse.quote(text, safe="").encode(),
    "percent, form": lambda text: urllib.parse.quote_plus(text).encode(),
    "percent, all": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()).encode(),
    "percent, ALL": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()).encode(),
    "percent, two cases": lambda text: re.sub(rb"%(.)(.)", rb"%\1\2", FORMS["percent, all"](text)).swapcase(),
    "json": lambda text: json.dumps(text)[1:-1].encode(),
    "json, slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/").encode(),
    "json, all": json_escaped,
    "html": lambda text: html.escape(text).encode(),
    "html, hex": hex_entities,
    "html, decimal": entities,
    "quoted-printable": lambda text: quopri.encodestring(text.encode(), quotetabs=True).rstrip(b"\n"),
    "quoted-printable, all": lambda text: "".join(f"={byte:02X}" for byte in text.encode()).encode(),
    "quoted-printable, folded": folded,
    "quoted-printable, all folded": lambda text: "=\n".join(f"={byte:02X}" for byte in text.encode()).encode(),
    "percent, twice": lambda text: urllib.parse.quote(urllib.parse.quote(text, safe=""), safe="").encode(),
    "percent, UTF-16": lambda text: "".join(f"%u{unit}" for unit in units(text)).encode(),
    "json, twice": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1].encode(),
    "json, all, twice": lambda text: json_escaped(text).replace(b"\\", b"\\\\"),
    "code, octal": lambda text: "".join(f"\\{byte:03o}" for byte in text.encode()).encode(),
    "code, hex": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()).encode(),
    "code, braces": lambda text: "".join(f"\\u{{{ord(c):X}}}" for c in text).encode(),
    "code, long": lambda text: "".join(f"\\U{ord(c):08x}" for c in text).encode(),
    "html, named": lambda text: "".join(f"&{NAMES[c]};" if c in NAMES else c for c in text).encode(),
    "html, twice": lambda text: html.escape(html.escape(text)).encode(),
    "html, decimal, twice": lambda text: entities(text).replace(b"&", b"&amp;"),
    "in latin-1": lambda text: in_latin1(text) or text.encode(),
    "in latin-1, percent": lambda text: urllib.parse.quote(in_latin1(text) or text).encode(),
    "in latin-1, code": lambda text: ascii(text)[1:-1].encode(),
    "as latin-1": lambda text: text.encode().decode("latin-1").encode(),
    "as latin-1, json": lambda text: json_escaped(text.encode().decode("latin-1")),
    "as latin-1, percent": lambda text: urllib.parse.quote(text.encode().decode("latin-1"), safe="").encode(),
    "base64, percent": lambda text: urllib.parse.quote(base64.b64encode(text.encode()), safe="").encode(),
    "base64, json": lambda text: base64.b64encode(text.encode()).replace(b"/", b"\\/"),
    "base64, html": lambda text: base64.b64encode(text.encode()).replace(b"+", b"&#43;").replace(b"/", b"&sol;"),
    **{name: in_charset(name) for name in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "cp037", "cp500")},
}
FORMS["percent, two cases"] = lambda text: "".join(
    f"%{byte:02x}" if at % 2 else f"%{byte:02X}" for at, byte in enumerate(text.encode())
).encode()


@given(st.sampled_from(sorted(FORMS)), CREDENTIALS, NEIGHBOURS, NEIGHBOURS, CUTS)
def test_every_form_goes(form: str, credential: str, before: bytes, after: bytes, cuts: list[int]) -> None:
    """Whatever surrounds it, however it is split: the form is gone, and the result is that of the whole text."""
    text = before + FORMS[form](credential) + after

    clean, count = scrubbed(text, credential, cuts=cuts)

    assert count >= 1
    assert clean == scrubbed(text, credential)[0]
    if not form.startswith("base64"):
        assert FORMS[form](credential) not in clean
    else:
        # What is left of base64 is the characters that depend on the neighbours too.
        assert base64.b64encode(credential.encode())[:-4] not in clean


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("credential", ["correct horse battery", "pässwort-0123456789", "Пароль-Ċ-0123456789"])
def test_words_of_people(credential: str, form: str) -> None:
    """With blanks, and letters that one byte doesn't hold: a byte at a time, and in one piece."""
    text = FORMS[form](credential)

    for cuts in ([], [*range(len(text))]):
        clean, count = scrubbed(b"[" + text + b"]", credential, cuts=cuts)
        assert (count, text in clean) == (1, False)


def reference(credential: str) -> re.Pattern[bytes]:
    """Any mix of plain and escaped characters, as one pattern: slow, and written apart from the code under test."""
    named = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}
    parts = []
    for character in credential:
        raw = character.encode()
        code = ord(character)
        ways = [
            b"".join(b"(?:%b|[%%=](?i:%02x))" % (re.escape(bytes([byte])), byte) for byte in raw),
            rb"\\u(?i:%04x)" % code,
            rb"&#0*%d(?:;|(?![0-9;]))" % code,
            rb"&#[xX]0*(?i:%x)(?:;|(?![0-9A-Fa-f;]))" % code,
        ]
        if code < 256 and len(raw) == 1:
            ways.append(rb"\\x(?i:%02x)" % code)
        if character in "/\\\"'":
            ways.append(rb"\\%b" % re.escape(raw))
        if character in named:
            ways.append(b"&%b;" % named[character].encode())
        parts.append(b"(?:" + b"|".join(ways) + b")")
    return re.compile(b"(?:=\r?\n)*".join(parts), re.DOTALL)


@st.composite
def mixtures(draw: st.DrawFn, credential: str) -> bytes:
    """The credential with each character written in one way or another."""
    out = b""
    for at, character in enumerate(credential):
        code, raw = ord(character), character.encode()
        ways = [raw, b"%%%02x" % raw[0], b"=%02X" % raw[0], b"\\u%04X" % code, b"&#%d;" % code, b"&#x0%x;" % code]
        out += draw(st.sampled_from(ways))
        if at + 1 < len(credential) and draw(st.integers(0, 9)) == 0:
            out += draw(st.sampled_from([b"=\n", b"=\r\n"]))
    return out


@given(st.data(), st.from_regex(r"[a-c]{3,6}|sk-[ab/+]{4,8}", fullmatch=True))
def test_any_mix_of_escapes(data: st.DataObject, credential: str) -> None:
    """Agrees with a pattern over every way to write each character, for any text that is full of beginnings."""
    fragments = st.one_of(
        mixtures(credential),
        mixtures(credential).flatmap(lambda text: st.integers(0, len(text)).map(lambda end: text[:end])),
        st.sampled_from([b"a", b"%61", b"%6", b"=", b"&#", b"\\u006", b"=\r", b" ", b"\\\\u0061"]),
    )
    text = b"".join(data.draw(st.lists(fragments, max_size=6)))
    cuts = data.draw(CUTS)

    clean, count = scrubbed(text, credential, cuts=cuts)

    if b"\\\\" not in text and b"&#" not in text:
        # Where the pattern and a reader of JSON or HTML agree on what an escape is.
        assert (clean, count) == reference(credential).subn(STAND_IN.encode(), text)
    assert (clean, count) == scrubbed(text, credential)
    assert not reference(credential).search(clean) or b"\\\\" in text


@given(st.binary(max_size=80), CUTS)
@example(b"data: {}\n\n" * 5, [3, 7])
def test_text_without_it_passes(text: bytes, cuts: list[int]) -> None:
    assert scrubbed(text, KEY, cuts=cuts) == (text, 0)


@given(st.lists(st.sampled_from([b"data: hi\n\n", b"%20", b"&amp;", b'{"a": "\\n"}', b"=", b"%", b"\\", b"\r\n"])))
def test_an_end_of_line_lets_all_out(parts: list[bytes]) -> None:
    """An event that ends in a line break is out at once, whatever is in it."""
    stream = Scrubber([Known(KEY, TOKEN)])
    text = b"".join(parts) + b"\n\n"

    assert stream.feed(text) == text


@pytest.mark.parametrize("last", [b"&#%d", b"&#x%x"])
def test_a_reference_that_nothing_ends(last: bytes) -> None:
    """At the end of a text a number needs no semicolon."""
    text = KEY[:-1].encode() + last % ord(KEY[-1])

    assert scrubbed(text, KEY) == (STAND_IN.encode(), 1)


@pytest.mark.parametrize(
    "form", ["&amp;#%07d;", "&amp;#x%06X;", "\\\\\\U%08x", "\\\\\\u{%06x}", "%%25%02x", "\\\\\\%03o"]
)
@given(st.sampled_from(["!", KEY, KEY * 4]), st.sampled_from([b"", b"=\n", b"=\r\n"]), CUTS)
def test_the_widest_forms(form: str, credential: str, fold: bytes, cuts: list[int]) -> None:
    """As many characters as an escape may have: however it is split, all of it goes."""
    text = fold.join((form % ord(character)).encode() for character in credential)

    assert scrubbed(b"[" + text + b"]", credential, cuts=cuts) == (f"[{STAND_IN}]".encode(), 1)


@pytest.mark.parametrize("length", [64, 65, 66, 300])
@settings(max_examples=20)
@given(st.data())
def test_long_credentials(length: int, data: st.DataObject) -> None:
    """Longer than what one pattern takes: all of it goes, and nothing where the last character is missing."""
    credential = "".join(random.Random(length).choices("abcdefgh0123456789;=%", k=length))
    ways = ["%c", "%%%02x", "&#%d;", "&#%d", "\\u%04x", "%%25%02X"]
    text = "".join(data.draw(st.sampled_from(ways)) % ord(character) for character in credential[:-1]).encode()
    text += json_escaped(credential[-1])

    assert scrubbed(b"a" + text + b";", credential)[1] == 1
    assert scrubbed(b"a" + text[:-6] + b";", credential)[1] == 0


def test_many_ways_to_read_it() -> None:
    """A credential of nothing but backslashes, each of which could escape the next."""
    assert scrubbed(b"\\" * 500, "\\" * 40)[1] >= 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [f"{KEY} ", f" {KEY}", f"  {KEY}  "], ids=["behind", "before", "around"])
def test_blanks_around_it(form: str, value: str) -> None:
    """Who reads a header drops them, and repeats what is left."""
    for repeated in (value, KEY):
        clean, count = scrubbed(b"[" + FORMS[form](repeated) + b"]", value)

        assert count == 1
        assert FORMS[form](KEY) not in clean


def test_fragments_stay() -> None:
    """All but a character of it, in any form, passes as it is: masking would tell a guesser how far he is right."""
    for part in (KEY[1:], KEY[:-1]):
        for name, form in FORMS.items():
            text = form(part)
            if name != "quoted-printable, folded":
                assert scrubbed(text + b"!", KEY) == (text + b"!", 0), name


@pytest.mark.parametrize("form", FORMS)
def test_the_time_says_nothing(form: str) -> None:
    """Where the end of a credential isn't, none of the rest is compared with anything, however much of it is there."""
    key = "sk-FAKE-abc/def+ghi_jkl.mno:pqr~stu-vwx"
    stream = Scrubber([Known(key, STAND_IN)])

    for missing in range(3, len(key)):
        assert not stream._search(b"[" + FORMS[form](key[:-missing]) + b"]")._finders
    assert stream._search(b"[" + FORMS[form](key) + b"]")._finders


def test_nothing_is_compared_but_behind_the_end() -> None:
    """Its end is in the text, so its forms are looked for: what else begins as it does is passed over."""
    stream = Scrubber([Known(KEY, STAND_IN)])
    guess = KEY[:-1] + "!"

    finders = stream._search(FORMS["json, all"](guess) + json_escaped(KEY[-6:]) + b" " + FORMS["json"](guess))._finders

    forms = [finder for finder in finders if isinstance(finder, _Form)]
    assert forms
    for form in forms:
        assert not list(form.find(json_escaped(guess) * 20 + json_escaped(KEY[-6:])))
        assert re.fullmatch(form._part(0).pattern, json_escaped(KEY[-6:])[::-1])


@pytest.mark.parametrize("before", range(3))
def test_base64_goes_on_behind_it(before: int) -> None:
    """What follows the credential in the same base64 can still be read."""
    text = base64.b64encode(b"x" * before + KEY.encode() + b'", "user": "someone who reads on"')

    clean, count = scrubbed(text, KEY)

    assert count == 1
    assert b'"user": "someone who reads on"' in base64.b64decode(clean)
    assert KEY.encode()[:8] not in base64.b64decode(clean)


@pytest.mark.parametrize("length", [1, 100, 45_000, 45_001, 45_002])
def test_a_user_name_of_any_length(length: int) -> None:
    """It is gone from the Basic pair, and no more is held back because the agent's part of that is long."""
    pairs = [base64.b64encode(f"{'u' * length}:{value}".encode()) for value in (KEY, TOKEN)]
    stream = Scrubber([Known(KEY, TOKEN, ((pairs[0], pairs[1]),))])

    clean = stream.feed(b"[" + pairs[0] + b"]") + stream.feed(b"x" * 10_000)

    assert len(clean) > len(pairs[1]) + 1000
    clean += stream.finish()
    assert stream.count == 1
    assert not any(base64_core(KEY.encode(), before)[:-2] in clean for before in range(3))
    assert length > 1000 or pairs[1] in clean


@pytest.mark.parametrize("charset", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "cp037"])
def test_charsets(charset: str) -> None:
    """What is around a credential stays readable."""
    text = f'{{"key": "{KEY}"}}'.encode(charset)

    assert scrubbed(text, KEY)[0].decode(charset) == f'{{"key": "{STAND_IN}"}}'


def test_several_credentials() -> None:
    """Each with its own stand-in; one that begins as another is told from it."""
    stream = Scrubber([Known("sk-aaaaaaaa", "one"), Known("sk-aaaaaaaabbbb", "two"), Known("k-aaaaaaaab", "three")])

    assert stream.whole(b"sk-aaaaaaaa sk-aaaaaaaabbbb %73k-aaaaaaaabbbb xk-aaaaaaaab") == b"one two two xthree"


def test_many_credentials() -> None:
    """More forms than one automaton takes."""
    keys = [f"sk-FAKE-{number:08}" for number in range(40)]
    text = b" ".join(FORMS[sorted(FORMS)[n % len(FORMS)]](key) for n, key in enumerate(keys))

    clean, count = scrubbed(text, *keys, cuts=[100, 1000])

    assert count == len(keys)
    assert not any(FORMS[name](key) in clean for key in keys for name in ("raw", "hex", "HEX", "percent, all"))
