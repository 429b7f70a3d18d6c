"""How hard to look, and what JSON can say."""

import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

__all__ = ["ANY_TEXT", "JSON", "effort"]

#: More by hand: ``SAGAS_FUZZ=50 pytest tests/fuzz`` tries fifty times as many.
TIMES = int(os.environ.get("SAGAS_FUZZ", "1"))


def effort(examples: int) -> settings:
    """Try so many examples, others at each run; the one that fails is printed, to be repeated."""
    return settings(
        max_examples=examples * TIMES,
        deadline=None,
        derandomize=False,
        print_blob=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


NASTY = ["", "\x00", "\ud800", "\x1b[31m", "'; DROP TABLE saga; --", "<b>", "%s{0}", "x" * 300]

#: Text as anybody may send it, broken Unicode included.
ANY_TEXT = st.one_of(st.sampled_from(NASTY), st.text(max_size=20), st.characters(categories=["Cs"]))

_SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**31, 2**63, -(2**63) - 1, 10**30, 10**400]),
    st.floats(),
    ANY_TEXT,
)

#: What a message or an input may hold; JSON as Python writes it has NaN too.
JSON: st.SearchStrategy[Any] = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(ANY_TEXT, inner, max_size=4)
    ),
    max_leaves=8,
)
