//! The report as one page without scripts.

use super::gate::{Report, Row, Section};
use super::specification::Level;
use std::fmt::Write as _;

const HEAD: &str = "<!doctype html><meta charset=\"utf-8\"><title>Requirements</title><style>\
body{font:15px/1.45 sans-serif;margin:2em auto;max-width:75em;padding:0 1em}table{border-collapse:collapse;width:100%}\
td,th{border:1px solid #ccc;padding:.3em .6em;text-align:left;vertical-align:top}\
.covered{background:#e4f5e4}.exception{background:#fff4d6}.open{background:#fbe3e3}code{font-size:85%}</style>\
<h1>Requirements</h1>";

/// The page.
#[must_use]
pub fn page(report: &Report) -> String {
    let mut page = HEAD.to_owned();
    if !report.problems.is_empty() {
        page.push_str("<h2>Problems</h2><ul>");
        report.problems.iter().for_each(|problem| put(&mut page, format_args!("<li>{}</li>", escape(problem))));
        page.push_str("</ul>");
    }
    report.sections.iter().for_each(|section| put_section(&mut page, section));
    page
}

fn put_section(page: &mut String, section: &Section) {
    let (covered, all) = section.coverage(Level::Must);
    let note = if section.enforced { "" } else { ", not enforced yet" };
    put(page, format_args!("<h2 id=\"{0}\">{0}: {covered} of {all} MUSTs{note}</h2><table>", section.name));
    page.push_str("<tr><th>Number</th><th>Requirement</th><th>Implementation</th><th>Test</th></tr>");
    section.rows.iter().for_each(|row| put_row(page, row));
    page.push_str("</table>");
}

fn put_row(page: &mut String, row: &Row) {
    let class = match (&row.exception, row.is_covered()) {
        (Some(_), _) => "exception",
        (None, true) => "covered",
        (None, false) => "open",
    };
    let level = match row.requirement.level {
        Level::Must => "MUST",
        Level::Should => "SHOULD",
        Level::May => "MAY",
    };
    let reason = row.exception.as_deref().map(|reason| format!("<br><i>Exception: {}</i>", escape(reason)));
    put(
        page,
        format_args!(
            "<tr class=\"{class}\"><td>{}</td><td>{level} {}{}</td><td>{}</td><td>{}</td></tr>",
            row.requirement.id,
            escape(&row.requirement.text),
            reason.unwrap_or_default(),
            code(&row.implementations),
            code(&row.tests),
        ),
    );
}

fn code(places: &[String]) -> String {
    places.iter().map(|place| format!("<code>{}</code><br>", escape(place))).collect()
}

fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = page.write_fmt(text);
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
