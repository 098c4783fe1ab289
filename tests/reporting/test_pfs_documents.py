"""The interim report: its numbers, its bytes and its edges."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from xml.etree import ElementTree

import pytest
from pfs_example import HEADER, SETTINGS, synthetic_dataset

from reporting.documents.figure import km_figure
from reporting.documents.page import to_html
from reporting.documents.pdf import to_pdf
from reporting.documents.pfs_analysis import build_pfs_report
from reporting.documents.pfs_report import Arm, PfsDataset, PfsSubject, content_digest, to_json
from reporting.documents.printable import p_value, printable
from reporting.statistics.results import Estimate, Gap, LogRank, NotEstimable


HOSTILE = "<script>alert('x')</script> & #set $x^2$ \\begin \"quoted\""


@pytest.fixture(scope="module")
def report():
    return build_pfs_report(synthetic_dataset(), header=HEADER, settings=SETTINGS)


def report_of(*subjects, header=HEADER, settings=SETTINGS):
    return build_pfs_report(PfsDataset(subjects), header=header, settings=settings)


def subject(number, arm, days, event, **more):
    facts = {"stratum": "H", "observed_days": days, "died": False, "treated": True} | more
    return PfsSubject(number=number, arm=arm, pfs_days=days, pfs_event=event, **facts)


def cells(report, label):
    rows = printable(report)["efficacy"] + printable(report)["safety"]
    return next(row["cells"] for row in rows if row["label"] == label)


def every_document(report):
    return (to_json(report), km_figure(report).encode(), to_html(report).encode(), to_pdf(report))


def test_importing_the_values_of_a_report_loads_no_heavy_library():
    loaded = (
        "import sys, reporting.documents.pfs_report, reporting.documents.printable; "
        "print({'numpy', 'lifelines', 'matplotlib', 'typst', 'django'} & set(sys.modules))"
    )

    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "set()"


def test_the_report_prints_the_figures_of_the_first_analysis(report):
    assert cells(report, "Randomised") == ["60", "29"]
    assert cells(report, "Progression or death") == ["11 (18%)", "18 (62%)"]
    assert cells(report, "Deaths, any cause") == ["1", "2"]
    assert cells(report, "Median, months (95% CI)") == ["NR (32.3–NE)", "13.3 (9.9–19.7)"]
    assert [row["ratio"] for row in printable(report)["comparison"]] == [
        "0.168 (95% CI 0.074–0.379)"
    ] * 2
    assert report.arms[0].at_risk == (60, 48, 35, 26, 18, 13, 6, 0)
    assert report.arms[1].at_risk == (29, 23, 13, 5, 3, 0, 0, 0)


@pytest.mark.parametrize(
    ("months", "printed"),
    [
        (12, ["89.9% (77.3–95.7)", "56.9% (35.4–73.6)"]),
        (24, ["77.2% (59.5–87.9)", "25.1% (8.3–46.4)"]),
    ],
)
def test_the_rates_at_a_landmark_print_with_their_limits(report, months, printed):
    assert cells(report, f"Free of progression at {months} months (95% CI)") == printed


def test_safety_counts_the_treated_and_rounds_a_half_up(report):
    assert printable(report)["safety_arms"] == ["Lenalidomide (n = 56)", "Placebo (n = 29)"]
    assert cells(report, "Skin disorders") == ["35 (63%)", "8 (28%)"]
    assert cells(report, "Infections") == ["30 (54%)", "19 (66%)"]


def test_an_adverse_event_without_a_dose_is_left_out_and_remarked():
    treated = subject("1", "L", 10, True, ae_categories=frozenset({"skin"}))
    untreated = replace(treated, number="2", treated=False)

    report = report_of(treated, untreated)

    assert (report.safety[0].counts[0].count, report.safety[0].counts[0].n) == (1, 1)
    assert any("without a dose" in remark for remark in report.remarks)


def test_the_same_data_in_another_order_are_the_same_bytes_of_every_document(report):
    again = PfsDataset(tuple(reversed(synthetic_dataset().subjects)))

    second = build_pfs_report(again, header=HEADER, settings=SETTINGS)

    assert every_document(second) == every_document(report)


def test_a_later_progression_changes_the_digest_and_past_another_one_the_ratio(report):
    subjects = synthetic_dataset().subjects
    changed = [
        replace(each, pfs_days=each.pfs_days + 40) if each.number == "P13" else each
        for each in subjects
    ]
    a_day = [
        replace(each, pfs_days=each.pfs_days + 1) if each.number == "P13" else each
        for each in subjects
    ]

    moved, nudged = report_of(*changed), report_of(*a_day)

    assert moved.comparison.hazard_ratio.hr != report.comparison.hazard_ratio.hr
    assert len({moved.digest, nudged.digest, report.digest}) == 3


def test_the_digest_is_that_of_the_json_without_it(report):
    content = json.loads(to_json(report))
    digest = content.pop("digest")

    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    assert digest == report.digest == content_digest(report)
    assert hashlib.sha256(text.encode()).hexdigest() == digest


def test_one_instant_in_two_offsets_is_one_report(report):
    berlin = HEADER.as_known_at.astimezone(timezone(timedelta(hours=2)))

    elsewhere = build_pfs_report(
        synthetic_dataset(), header=replace(HEADER, as_known_at=berlin), settings=SETTINGS
    )

    assert elsewhere.digest == report.digest
    assert b'"as_known_at":"2016-04-29T12:00:00Z"' in to_json(elsewhere)


def test_an_instant_without_an_offset_is_refused():
    naive = replace(HEADER, as_known_at=datetime(2016, 4, 29, 12, 0))  # noqa: DTZ001

    with pytest.raises(ValueError, match="offset"):
        report_of(header=naive)


def test_a_subject_of_another_arm_or_named_twice_is_refused():
    with pytest.raises(ValueError, match="do not know"):
        report_of(subject("1", "X", 10, True))
    with pytest.raises(ValueError, match="twice"):
        report_of(subject("1", "L", 10, True), subject("1", "P", 10, True))


@pytest.mark.parametrize("control", ["X", ""])
def test_settings_without_the_control_among_two_arms_are_refused(control):
    with pytest.raises(ValueError, match="control"):
        report_of(settings=replace(SETTINGS, control=control))


def test_nobody_randomised_gives_documents_that_say_so():
    report = report_of()

    assert report.population == 0
    assert "Nobody had been randomised" in to_html(report)
    assert all(every_document(report))


def test_an_empty_arm_gives_documents_that_say_so():
    report = report_of(subject("1", "L", 100, True), subject("2", "L", 200, False))

    ratio = report.comparison.hazard_ratio

    assert isinstance(ratio, NotEstimable)
    assert Gap.NO_SUBJECTS_CONTROL in ratio.reasons
    assert report.arms[1].median_months == Estimate(None, None, None)
    assert "Placebo: no subject had been randomised to this arm." in report.remarks
    assert "not estimable: nobody in the control arm" in to_html(report)
    assert all(every_document(report))


def test_an_arm_without_events_has_a_test_and_no_ratio():
    report = report_of(
        subject("1", "L", 400, False),
        subject("2", "L", 500, False),
        subject("3", "P", 100, True),
        subject("4", "P", 200, True),
    )

    assert isinstance(report.comparison.log_rank, LogRank)
    assert report.comparison.hazard_ratio == NotEstimable((Gap.NO_EVENTS_TREATED,))
    assert json.loads(to_json(report))["comparison"]["hazard_ratio"] == {
        "estimable": False,
        "reasons": ["no_events_treated"],
    }
    assert all(every_document(report))


def test_events_that_share_a_day_are_remarked():
    tied = report_of(subject("1", "L", 100, True), subject("2", "L", 100, True))
    apart = report_of(subject("1", "L", 100, True), subject("2", "L", 101, True))

    assert any("share a day" in remark for remark in tied.remarks)
    assert not any("share a day" in remark for remark in apart.remarks)


def test_an_assumed_boundary_is_compared_with_and_nothing_is_claimed(report):
    sentence = printable(report)["interim"]

    assert report.interim.beyond is True
    assert "assumed Haybittle–Peto boundary" in sentence
    assert "no crossing is claimed" in sentence


def test_a_z_reaches_the_boundary_it_equals_and_not_the_next_number_above(report):
    z = -report.interim.z
    looks = [replace(SETTINGS.interim_look, critical_z=at) for at in (z, z + 1e-9, 4.88)]

    beyond = [
        build_pfs_report(
            synthetic_dataset(), header=HEADER, settings=replace(SETTINGS, interim_look=look)
        ).interim.beyond
        for look in looks
    ]

    assert beyond == [True, False, False]


def test_a_boundary_without_a_test_is_not_compared():
    report = report_of(subject("1", "L", 100, True))

    assert report.interim.beyond is None
    assert "not compared" in printable(report)["interim"]


def test_without_a_stratum_a_look_or_categories_their_parts_are_left_out():
    bare = replace(SETTINGS, stratum_label=None, interim_look=None, ae_categories=())
    report = build_pfs_report(synthetic_dataset(), header=HEADER, settings=bare)

    page = to_html(report)

    assert report.comparison.log_rank_stratified is None
    assert [row["label"] for row in printable(report)["comparison"]] == ["Unstratified"]
    assert "Monitoring boundary" not in page
    assert "Adverse events" not in page
    assert to_pdf(report)


def test_every_text_is_escaped_on_the_page_and_in_the_figure():
    header = replace(
        HEADER,
        trial_code=HOSTILE,
        trial_title=HOSTILE,
        report_title=HOSTILE,
        endpoint_label=HOSTILE,
        notes=(HOSTILE,),
    )
    arms = (Arm("L", "<b>L</b> & $x$"), Arm("P", "Placebo"))
    report = report_of(
        *synthetic_dataset().subjects, header=header, settings=replace(SETTINGS, arms=arms)
    )

    page, figure = to_html(report), km_figure(report)

    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "<b>" not in page
    assert ElementTree.fromstring(figure).tag == "{http://www.w3.org/2000/svg}svg"
    assert to_pdf(report)


def test_a_report_about_nobody_gives_no_reason_twice():
    ratio = printable(report_of())["comparison"][0]["ratio"]

    assert ratio == "not estimable: nobody in the treated arm, nobody in the control arm"
    assert cells(report_of(), "Median, months (95% CI)") == ["NE", "NE"]


def test_the_page_loads_nothing_from_elsewhere(report):
    page = to_html(report)

    assert "<link" not in page
    assert "<script" not in page
    assert "src=" not in page
    assert "@import" not in page


def test_the_figure_has_a_title_and_says_in_words_what_it_shows(report):
    root = ElementTree.fromstring(km_figure(report))
    words = {child.tag.rpartition("}")[2]: child.text for child in root}

    assert root.get("role") == "img"
    assert words["title"] == "Progression-free survival by independent review, CLLM1"
    assert "Placebo: 18 events in 29 subjects, median 13.3 (9.9–19.7) months" in words["desc"]


def test_the_pdf_is_tagged_and_carries_no_clock(report):
    pdf = to_pdf(report)

    assert pdf.startswith(b"%PDF-1.7")
    assert b"/MarkInfo" in pdf
    assert b"<pdfuaid:part>1<" in pdf
    assert b"<xmp:CreateDate>1970-01-01T00:00:00+00:00<" in pdf


@pytest.mark.parametrize(
    ("p", "printed"),
    [
        (0.00009, "p < 0.0001"),
        (0.0001, "p = 0.0001"),
        (0.0099, "p = 0.0099"),
        (0.032, "p = 0.032"),
        (0.45, "p = 0.45"),
    ],
)
def test_p_values_print_to_two_digits_and_never_as_zero(p, printed):
    assert p_value(LogRank(1.0, 1, p, 1.0, 1.0, 1.0, 1.0)) == printed
