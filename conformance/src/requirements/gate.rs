//! The judgement: what is covered, what is an exception, and what is wrong.

use super::annotation::{Annotation, Kind};
use super::specification::{Level, Requirement, Specification};
use std::fmt;

/// Subjects of which every MUST has an implementation and a test, or an exception with its reason. Only ever grows.
pub const ENFORCED: &[&str] = &[
    "ACK", "ADDR", "CC", "CHAN", "DGRAM", "DIAL", "FLOW", "FRAME", "ID", "IPC", "KA", "KEX", "MTU", "NAGLE", "NAT",
    "NONCE", "PKT", "PMAP", "PORT", "PRIV", "RATE", "REG", "REL", "RELAY", "SACK", "SEG", "SES", "SVC", "TRUST", "VER",
];

/// Of the SHOULDs of a subject at least so many of a hundred are covered.
const SHOULD_PERCENT: usize = 95;

/// Fewer letters than this say nothing.
const SHORTEST_QUOTE: usize = 12;

/// One requirement and where it is spoken of.
#[derive(Debug)]
pub struct Row {
    /// The requirement.
    pub requirement: Requirement,
    /// `path:line` of implementations.
    pub implementations: Vec<String>,
    /// `path:line` of tests.
    pub tests: Vec<String>,
    /// Why it is not met.
    pub exception: Option<String>,
}

impl Row {
    /// Implemented and tested, or excepted with a reason.
    #[must_use]
    pub fn is_covered(&self) -> bool {
        self.exception.is_some() || !(self.implementations.is_empty() || self.tests.is_empty())
    }
}

/// One subject.
#[derive(Debug)]
pub struct Section {
    /// For example `SACK`.
    pub name: String,
    /// Completeness is demanded.
    pub enforced: bool,
    /// Its requirements.
    pub rows: Vec<Row>,
}

impl Section {
    /// How many requirements of `level` are covered, and how many there are.
    #[must_use]
    pub fn coverage(&self, level: Level) -> (usize, usize) {
        let of_level = || self.rows.iter().filter(|row| row.requirement.level == level);
        (of_level().filter(|row| row.is_covered()).count(), of_level().count())
    }

    /// Requirements with an exception.
    #[must_use]
    pub fn exceptions(&self) -> usize {
        self.rows.iter().filter(|row| row.exception.is_some()).count()
    }
}

/// Everything, judged.
#[derive(Debug)]
pub struct Report {
    /// The subjects in the order of the specification's files.
    pub sections: Vec<Section>,
    /// What the gate fails for; empty when all is well.
    pub problems: Vec<String>,
}

/// Judges `annotations` against `specification`; subjects of `enforced` must be complete.
#[must_use]
pub fn judge(specification: &Specification, annotations: &[Annotation], enforced: &[&str]) -> Report {
    let mut report = Report { sections: Vec::new(), problems: specification.problems.clone() };
    for requirement in &specification.requirements {
        let exception = specification.gaps.get(&requirement.id).cloned();
        let row = Row { requirement: requirement.clone(), implementations: vec![], tests: vec![], exception };
        report.section(requirement.section(), enforced).rows.push(row);
    }
    for annotation in annotations {
        if let Err(problem) = report.place(annotation) {
            report.problems.push(format!("{}:{}: {problem}", annotation.path, annotation.line));
        }
    }
    report.demand_completeness(enforced);
    report
}

impl Report {
    fn section(&mut self, name: &str, enforced: &[&str]) -> &mut Section {
        let known = self.sections.iter().position(|section| section.name == name);
        let index = known.unwrap_or(self.sections.len());
        if known.is_none() {
            let enforced = enforced.contains(&name);
            self.sections.push(Section { name: name.to_owned(), enforced, rows: Vec::new() });
        }
        &mut self.sections[index]
    }

    fn place(&mut self, annotation: &Annotation) -> Result<(), String> {
        let target = &annotation.target;
        let mut rows = self.sections.iter_mut().flat_map(|section| &mut section.rows);
        let named = |row: &&mut Row| {
            let Requirement { id, file, .. } = &row.requirement;
            *target == format!("spec/{file}#{}", id.to_lowercase())
        };
        let row = rows.find(named).ok_or_else(|| format!("{target} is no requirement"))?;
        let id = row.requirement.id.clone();
        if annotation.quote.len() < SHORTEST_QUOTE {
            return Err(format!("{id} is not quoted"));
        }
        if !row.requirement.text.contains(&annotation.quote) {
            return Err(format!("not the words of {id}: {:?}", annotation.quote));
        }
        let place = format!("{}:{}", annotation.path, annotation.line);
        match &annotation.kind {
            Kind::Unknown(meta) => return Err(format!("{id}: unknown {meta:?}")),
            Kind::Exception(reason) if reason.is_empty() => return Err(format!("{id}: an exception without a reason")),
            Kind::Exception(reason) => row.exception = Some(reason.clone()),
            Kind::Test if !annotation.in_test => return Err(format!("{id}: type=test outside of tests")),
            Kind::Implementation if annotation.in_test => return Err(format!("{id}: in a test without type=test")),
            Kind::Test => row.tests.push(place),
            Kind::Implementation => row.implementations.push(place),
        }
        if row.exception.is_some() && !row.implementations.is_empty() && !row.tests.is_empty() {
            return Err(format!("{id} is implemented and tested, and yet an exception"));
        }
        Ok(())
    }

    fn demand_completeness(&mut self, enforced: &[&str]) {
        for name in enforced {
            if !self.sections.iter().any(|section| section.name == *name) {
                self.problems.push(format!("{name} is enforced and has no requirement"));
            }
        }
        for section in self.sections.iter().filter(|section| section.enforced) {
            for row in section.rows.iter().filter(|row| row.requirement.level == Level::Must && !row.is_covered()) {
                let lacking = if row.implementations.is_empty() { "implementation" } else { "test" };
                self.problems.push(format!("{} has no {lacking}", row.requirement.id));
            }
            let (covered, all) = section.coverage(Level::Should);
            if covered * 100 < all * SHOULD_PERCENT {
                self.problems.push(format!("{}: {covered} of {all} SHOULDs are covered", section.name));
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:8} {:>9} {:>9} {:>9} {:>10}", "subject", "MUST", "SHOULD", "MAY", "exceptions")?;
        for section in &self.sections {
            let share = |level| {
                let (covered, all) = section.coverage(level);
                format!("{covered}/{all}")
            };
            let [must, should, may] = [Level::Must, Level::Should, Level::May].map(share);
            let note = if section.enforced { "" } else { "  not enforced yet" };
            let (name, exceptions) = (&section.name, section.exceptions());
            writeln!(f, "{name:8} {must:>9} {should:>9} {may:>9} {exceptions:>10}{note}")?;
        }
        for row in self.sections.iter().flat_map(|section| &section.rows) {
            if let Some(reason) = &row.exception {
                writeln!(f, "exception {}: {reason}", row.requirement.id)?;
            }
        }
        self.problems.iter().try_for_each(|problem| writeln!(f, "problem: {problem}"))
    }
}
