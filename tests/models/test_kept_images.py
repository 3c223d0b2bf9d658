"""Images that are kept: the one used longest ago makes room, and only then is somebody told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chatir.models.local.kept_images import KeptImages


@given(st.integers(1, 5), st.lists(st.tuples(st.booleans(), st.sampled_from("abcdefgh"))))
def test_the_one_used_longest_ago_makes_room_and_is_told(most: int, uses: list[tuple[bool, str]]) -> None:
    gone: list[str] = []
    kept: KeptImages[str] = KeptImages(most, gone.append)
    latest: list[str] = []
    expected: list[str] = []
    for put, name in uses:
        known = name in latest
        assert put or kept.get(name) == (name if known else None)
        if put:
            kept[name] = name
        if put or known:
            latest = [*(other for other in latest if other != name), name]
        if len(latest) > most:
            expected.append(latest.pop(0))
    assert (set(kept), gone) == (set(latest), expected)
    kept.clear()
    assert (len(kept), gone) == (0, expected), "what is cleared did not have to make room"
