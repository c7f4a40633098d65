"""The names of an exported model's signatures."""

from __future__ import annotations

# The contract of design.md, which every exported model keeps.
SIGNATURES = ("serving_default", "embed", "from_features")
# Each has a twin of this ending that takes `valid` as well; models exported before have none.
WITH_VALID = "_with_valid"
