"""JSON values for property tests: the oddest that a worker may send."""

from typing import Any

from hypothesis import strategies as st

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    [
        "",
        "\n",
        "\r\n",
        "a\rb\n\nc",
        "\u2028\u2029\x85",
        "\0",
        "id: 1\n\ndata: {}\n\n",
        "Grüße 🚀",
        "\ufeff",
    ]
)
"""Any text that UTF-8 can encode; often with line ends, or similar to a frame."""

numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(
    allow_nan=False, allow_infinity=False, width=64
)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)

json_objects: st.SearchStrategy[dict[str, Any]] = st.dictionaries(texts, json_values, max_size=4)
