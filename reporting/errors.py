"""Refusals of reports."""

from events.outcomes import Refused


class CutRefused(Refused):
    code = "cut_refused"
    title = "The data cannot be read as of that moment"


class ReportRefused(Refused):
    code = "report_refused"
    title = "The report cannot be made"


class SummaryRefused(Refused):
    code = "summary_refused"
    title = "The safety summary was not written"
