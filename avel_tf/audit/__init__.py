"""`avel audit`: what is wrong with a data set, before anyone trains on it."""

from __future__ import annotations

from avel_tf.audit.file_facts import FileFacts
from avel_tf.audit.finding import Finding
from avel_tf.audit.report import AuditReport
from avel_tf.audit.run import audit
from avel_tf.audit.settings import AuditSettings

__all__ = ["AuditReport", "AuditSettings", "FileFacts", "Finding", "audit"]
