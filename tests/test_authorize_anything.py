"""May this request use these tokens? What holds for every request."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.head import Head
from seks_addon.refusal import Refused
from seks_addon.tokens import find_lookalikes
from tests.samples import KEY, TOKEN, basic
from tests.test_authorize import BEARER, head, judge

NOISE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=6)
NAMES = st.sampled_from(["Authorization", "X-Api-Key", "X-Other", "Cookie", "Range", "x-api-key"]) | NOISE
VALUES = st.builds(
    lambda template, noise: template.format(token=TOKEN, noise=noise, basic=basic(noise, TOKEN)),
    st.sampled_from(
        [
            "{token}",
            "Bearer {token}",
            "bearer  {token}",
            "Token {token}",
            "{noise}{token}",
            "Bearer {token}{noise}",
            "{token} {token}",
            "{basic}",
            "Bearer {basic}",
            "{noise}",
            "Bearer {noise}",
        ]
    ),
    NOISE.map(lambda noise: noise.replace("{", "")),
)
TARGETS = st.sampled_from(["/v1", "/v1?a=b", f"/{TOKEN}", f"/v1?{TOKEN}", "/v1?" + TOKEN.replace("e", "%65")])


def seen(request: Head) -> int:
    """Count the token's occurrences, however they are written; apart from the code under test."""
    count = request.target.replace("%65", "e").count(TOKEN)
    for name, value in request.headers:
        count += name.count(TOKEN) + value.count(TOKEN)
        for word in value.split():
            try:
                count += base64.b64decode(word).decode("latin-1").count(TOKEN)
            except ValueError:
                continue
    return count


@given(st.lists(st.tuples(NAMES, VALUES), max_size=5), TARGETS)
def test_used_only_where_declared(headers: list[tuple[str, str]], target: str) -> None:
    """Whatever the request, it is refused, or each occurrence of the token is the whole of a declared header."""
    request = head(*headers, target=target)

    try:
        decision = judge(request)
    except Refused:
        assert any(find_lookalikes(text) for text in (target, *(t for h in headers for t in h))) or seen(request)
        return

    declared = 0
    for substitution in decision.substitutions:
        name, value = decision.head.headers[substitution.match.place]
        scheme, _, token = value.rpartition(" ") if name.lower() == "authorization" else ("", "", value)
        assert name.lower() in {"authorization", "x-api-key"}
        assert (token, scheme.strip().lower()) == (TOKEN, "bearer" if name.lower() == "authorization" else "")
        assert substitution.match.render(KEY).decode() == value.replace(TOKEN, KEY)
        declared += 1
    if "basic" not in str(headers).lower():
        assert seen(decision.head) == declared


@given(
    st.lists(st.tuples(NOISE.map("X-".__add__), NOISE), max_size=3),
    st.sampled_from(["query", "path", "encoded", "header", "name", "basic", "twice", "again"]),
    NOISE,
    st.booleans(),
)
def test_misplaced_is_always_refused(
    others: list[tuple[str, str]], place: str, noise: str, also_in_place: bool
) -> None:
    """A token in the query, in the path, in another header, or twice, is refused, whatever else there is."""
    headers, target = list(others), "/v1"
    if place == "query":
        target = f"/v1?q={TOKEN}&x"
    elif place == "path":
        target = f"/{TOKEN}/x"
    elif place == "encoded":
        target = "/v1?q=" + TOKEN.replace("_", "%5F")
    elif place == "header":
        headers.append(("X-Trace", f"{noise} {TOKEN}"))
    elif place == "name":
        headers.append((TOKEN, noise))
    elif place == "basic":
        headers.append(("X-Trace", basic(noise, TOKEN)))
    elif place == "twice":
        headers.append(("X-Api-Key", f"{TOKEN},{TOKEN}"))
    else:
        headers += [("X-Api-Key", TOKEN), ("X-API-KEY", TOKEN)]
    if also_in_place:
        headers.append(BEARER)

    with pytest.raises(Refused):
        judge(head(*headers, target=target))
