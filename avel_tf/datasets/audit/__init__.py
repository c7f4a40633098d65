"""Audit of data sets: defects of files, splits, events and classes."""

from __future__ import annotations

from avel_tf.datasets.audit.file_facts import FileFacts
from avel_tf.datasets.audit.report import AuditReport, Finding
from avel_tf.datasets.audit.run import audit
from avel_tf.datasets.audit.settings import AuditSettings

__all__ = ["AuditReport", "AuditSettings", "FileFacts", "Finding", "audit"]
