"""At most so many values: the one used longest ago goes first, and whoever wants to know is told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chatir.models.kept import Kept


def test_what_is_kept_is_given_back_and_nothing_else() -> None:
    kept: Kept[int] = Kept(2)
    kept.put("a", 1)
    assert (kept.get("a"), kept.get("b"), len(kept)) == (1, None, 1)
    kept.clear()
    assert (kept.get("a"), len(kept)) == (None, 0)


def test_the_one_used_longest_ago_goes_first_and_is_told() -> None:
    gone: list[str] = []
    kept: Kept[int] = Kept(2, gone.append)
    kept.put("a", 1)
    kept.put("b", 2)
    kept.get("a")
    kept.put("c", 3)
    assert gone == ["b"]
    kept.put("a", 4)
    kept.put("d", 5)
    assert gone == ["b", "c"]
    assert kept.get("a") == 4


@given(st.integers(1, 5), st.lists(st.tuples(st.booleans(), st.sampled_from("abcdefgh"))))
def test_it_is_a_list_of_the_latest_names(most: int, uses: list[tuple[bool, str]]) -> None:
    kept: Kept[str] = Kept(most)
    latest: list[str] = []
    for put, name in uses:
        known = name in latest
        if put:
            kept.put(name, name)
        else:
            assert kept.get(name) == (name if known else None)
        if put or known:
            latest = [*[each for each in latest if each != name], name][-most:]
    assert len(kept) == len(latest)
    assert all(kept.get(name) == name for name in latest)
