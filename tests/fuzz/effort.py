"""How many examples to try, and what JSON can contain."""

import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

__all__ = ["ANY_TEXT", "JSON", "effort"]

#: For more, ``SAGAS_FUZZ=50 pytest tests/fuzz`` tries fifty times as many.
TIMES = int(os.environ.get("SAGAS_FUZZ", "1"))


def effort(examples: int) -> settings:
    """Try this many examples, new ones on each run; print a failing one so it can be repeated."""
    return settings(
        max_examples=examples * TIMES,
        deadline=None,
        derandomize=False,
        print_blob=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


NASTY = ["", "\x00", "\ud800", "\x1b[31m", "'; DROP TABLE saga; --", "<b>", "%s{0}", "x" * 300]

#: Text as anyone may send it, including broken Unicode.
ANY_TEXT = st.one_of(st.sampled_from(NASTY), st.text(max_size=20), st.characters(categories=["Cs"]))

_SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**31, 2**63, -(2**63) - 1, 10**30, 10**400]),
    st.floats(),
    ANY_TEXT,
)

#: What a message or an input may contain; JSON as Python writes it includes NaN.
JSON: st.SearchStrategy[Any] = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(ANY_TEXT, inner, max_size=4)
    ),
    max_leaves=8,
)
