//! A small typed reader over the YAML tree that never stops at the first error.
//!
//! A [`Section`] is a map of the file. The code that reads it asks for each key that it knows; what was not asked for
//! when it has finished is a typing error. So the list of known keys is the code that reads them, and cannot drift from
//! it.
//!
//! ```text
//! fn retry(section: &Section) -> RetryFile {
//!     RetryFile { connection: section.field("connection", Value::duration), … }
//! }
//! ```
//!
//! Whatever is wrong becomes a [`Problem`] in the shared [`Report`], and the field becomes [`Field::Refused`], so that
//! later checks neither repeat the complaint nor mistake the field for one that was left out.

use std::cell::RefCell;
use std::fmt;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use super::yaml::{Content, Entry, LeftOut, Location, Node};
use crate::nearest::nearest;

/// One thing that is wrong with the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where it stands.
    pub at: Location,
    /// What is wrong, beginning with the dotted path of the key, and what would be right.
    pub message: String,
}

/// All problems found so far.
#[derive(Default)]
pub(super) struct Report {
    problems: RefCell<Vec<Problem>>,
    /// Values that are not known.
    unknown: RefCell<Vec<Location>>,
    /// Every path that was asked for: what `reference.yaml` must explain.
    #[cfg(test)]
    pub(super) asked: RefCell<std::collections::BTreeSet<String>>,
}

impl Report {
    pub(super) fn add(&self, place: &Place, message: impl fmt::Display) {
        self.push(place, format!("{place}: {message}"));
    }

    /// A value that is not known is neither right nor wrong.
    pub(super) fn say_nothing_at(&self, value: Location) {
        self.unknown.borrow_mut().push(value);
    }

    fn push(&self, place: &Place, message: String) {
        if !self.unknown.borrow().contains(&place.at) {
            self.problems.borrow_mut().push(Problem { at: place.at, message });
        }
    }

    /// Like [`Report::add`], with the value that breaks the constraint.
    pub(super) fn add_value(&self, place: &Place, value: &str, constraint: impl fmt::Display) {
        let shown: String = value.chars().take(60).flat_map(char::escape_debug).collect();
        let dots = if value.chars().count() > 60 { "…" } else { "" };
        self.push(place, format!("{place} = {shown}{dots}: {constraint}"));
    }

    /// A problem of the text itself, which has no path.
    pub(super) fn add_plain(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// The problems in the order of the file.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort();
        problems.dedup();
        problems
    }
}

/// A place in the file and its dotted path, such as `tables[1].where`. Shown as the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) at: Location,
    path: String,
}

impl Place {
    pub(super) fn root(at: Location) -> Self {
        Place { at, path: String::new() }
    }

    fn key(&self, at: Location, key: &str) -> Self {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Place { at, path }
    }

    fn index(&self, at: Location, index: usize) -> Self {
        Place { at, path: format!("{}[{index}]", self.path) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.path.is_empty() { "task file" } else { &self.path })
    }
}

/// What the file says about one key.
#[derive(Debug)]
pub(super) enum Field<T> {
    /// Nothing. The place is that of the section where the key would stand.
    Absent(Place),
    /// Something unusable, which has been reported.
    Refused,
    Given(T, Place),
}

impl<T> Field<T> {
    /// The value if there is a usable one.
    pub(super) fn given(self) -> Option<T> {
        match self {
            Field::Given(value, _) => Some(value),
            Field::Absent(_) | Field::Refused => None,
        }
    }

    pub(super) fn as_given(&self) -> Option<(&T, &Place)> {
        match self {
            Field::Given(value, place) => Some((value, place)),
            Field::Absent(_) | Field::Refused => None,
        }
    }

    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Field::Absent(_))
    }

    /// The value of a key that the file must hold; `why` completes "… is missing, ".
    pub(super) fn required(self, report: &Report, why: &str) -> Option<T> {
        if let Field::Absent(place) = &self {
            report.add(place, format_args!("is missing, {why}"));
        }
        self.given()
    }

    /// Reports the key if it is there, because something else in the file leaves it without meaning.
    pub(super) fn refuse(&self, report: &Report, why: &str) {
        if let Field::Given(_, place) = self {
            report.add(place, why);
        }
    }
}

/// A map of the file while it is read.
pub(super) struct Section<'a> {
    node: &'a Node,
    place: Place,
    report: &'a Report,
    known: RefCell<Vec<&'static str>>,
    /// Those of the known whose values are nobody's business.
    sealed: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    /// Reads the value of `key`. `read` returns `None` after it has reported what it did not like.
    pub(super) fn field<T>(&self, key: &'static str, read: impl FnOnce(Value<'a>) -> Option<T>) -> Field<T> {
        self.known.borrow_mut().push(key);
        #[cfg(test)]
        self.report.asked.borrow_mut().insert(self.place.key(self.place.at, key).path);
        let Content::Map(entries) = &self.node.content else {
            return Field::Absent(self.place.key(self.place.at, key));
        };
        let Some(entry) = entries.iter().find(|entry| entry.key == key) else {
            return Field::Absent(self.place.key(self.place.at, key));
        };
        // A value that is left out stands nowhere: its key is where to look.
        let at = if entry.value.is_null() { entry.key_at } else { entry.value.at };
        let place = self.place.key(at, key);
        match read(Value { node: &entry.value, place: place.clone(), report: self.report }) {
            Some(value) => Field::Given(value, place),
            None => Field::Refused,
        }
    }

    /// As [`Section::field`], of a value that holds a secret.
    pub(super) fn sealed<T>(&self, key: &'static str, read: impl FnOnce(Value<'a>) -> Option<T>) -> Field<T> {
        self.sealed.borrow_mut().push(key);
        self.field(key, read)
    }

    fn refuse_keys_not_asked_for(&self) {
        let Content::Map(entries) = &self.node.content else { return };
        let known = self.known.borrow();
        let has_secrets = !self.sealed.borrow().is_empty();
        let shares_line = |entry: &Entry| {
            entries.iter().any(|other| other.key_at.line == entry.key_at.line && other.key_at != entry.key_at)
        };
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let meant = nearest(&entry.key, &known);
            // In {password: Tr0ub4,dor} the end of a secret is a key to YAML.
            if shares_line(entry) && (has_secrets || entry.value.is_null()) {
                let place = Place { at: entry.key_at, ..self.place.clone() };
                let meant = meant.map(|key| format!(", did you mean `{key}`?")).unwrap_or_default();
                let quoting = "a text with , : { or [ in it has to stand between single quotes";
                self.report.add(&place, format_args!("has a key here that is none{meant}; {quoting}"));
                continue;
            }
            let place = self.place.key(entry.key_at, &entry.key);
            match meant {
                Some(key) => self.report.add(&place, format_args!("no such key, did you mean `{key}`?")),
                None if known.is_empty() => self.report.add(&place, "no such key, there is none"),
                None => self.report.add(&place, format_args!("no such key, there are {}", known.join(", "))),
            }
        }
    }
}

/// A value of the file while it is read. Each method reads it as one type, or reports why it cannot and returns `None`.
pub(super) struct Value<'a> {
    node: &'a Node,
    place: Place,
    report: &'a Report,
}

impl<'a> Value<'a> {
    /// Reports `constraint`, with what was found instead, except where that is empty or long.
    pub(super) fn refuse<T>(self, constraint: impl fmt::Display) -> Option<T> {
        match &self.node.content {
            Content::List(_) => self.report.add(&self.place, format_args!("is a list, {constraint}")),
            Content::Map(_) => self.report.add(&self.place, format_args!("is a map, {constraint}")),
            Content::Scalar { text, .. } if text.trim().is_empty() || self.node.is_null() => {
                self.report.add(&self.place, format_args!("is empty, {constraint}"));
            }
            Content::Scalar { text, .. } => self.report.add_value(&self.place, text, constraint),
        }
        None
    }

    /// Like [`Value::refuse`], for values that may hold a secret.
    pub(super) fn refuse_unseen<T>(self, constraint: impl fmt::Display) -> Option<T> {
        self.report.add(&self.place, constraint);
        None
    }

    /// For what must be reported after the value has been read.
    pub(super) fn place_and_report(&self) -> (Place, &'a Report) {
        (self.place.clone(), self.report)
    }

    /// The text of a single value, as it is written; `None` for lists, maps and nothing.
    pub(super) fn scalar(&self) -> Option<&'a str> {
        match &self.node.content {
            Content::Scalar { text, .. } if !self.node.is_null() => Some(text),
            _ => None,
        }
    }

    /// What somebody may have meant as a part of it.
    pub(super) fn left_out(&self) -> Option<LeftOut> {
        self.node.left_out
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self.node.content, Content::Map(_))
    }

    /// Whether this is a map that holds anything. If none of it is known, the section reports that.
    pub(super) fn has_keys(&self) -> bool {
        matches!(&self.node.content, Content::Map(entries) if !entries.is_empty())
    }

    /// Whether this is a map that holds something else than these.
    pub(super) fn has_other_keys(&self, keys: &[&str]) -> bool {
        matches!(&self.node.content, Content::Map(entries) if entries.iter().any(|entry| !keys.contains(&&*entry.key)))
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.node.content, Content::List(_))
    }

    /// Text that is not empty.
    pub(super) fn text(self) -> Option<String> {
        match self.scalar() {
            Some(text) if !text.trim().is_empty() => Some(text.to_owned()),
            _ => self.refuse("must be a text"),
        }
    }

    pub(super) fn integer(self, range: RangeInclusive<u64>) -> Option<u64> {
        let number = self.plain().and_then(|text| text.parse().ok()).filter(|number| range.contains(number));
        number.or_else(|| {
            self.refuse(match (range.start(), range.end()) {
                (least, &u64::MAX) => format!("must be a whole number from {least} up"),
                (least, most) => format!("must be a whole number from {least} to {most}"),
            })
        })
    }

    pub(super) fn flag(self) -> Option<bool> {
        match self.as_flag() {
            Some(flag) => Some(flag),
            None => self.refuse("must be true or false"),
        }
    }

    /// `true` or `false` as YAML 1.2 has them; yes, no, on and off are words.
    pub(super) fn as_flag(&self) -> Option<bool> {
        match self.plain() {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        }
    }

    fn plain(&self) -> Option<&'a str> {
        match &self.node.content {
            Content::Scalar { text, plain: true } => Some(text),
            _ => None,
        }
    }

    /// One word of a closed set.
    pub(super) fn word<T: Copy>(self, words: &[(&'static str, T)]) -> Option<T> {
        // Where the set holds it, `null` is a word as any other.
        let text = match &self.node.content {
            Content::Scalar { text, .. } => Some(text.as_str()),
            _ => None,
        };
        let meant = text.and_then(|text| words.iter().find(|(word, _)| *word == text));
        match (meant, words) {
            (Some((_, value)), _) => Some(*value),
            (None, [(only, _)]) => self.refuse(format_args!("must be {only}, there is no other yet")),
            (None, _) => {
                let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                self.refuse(format_args!("must be one of {}", list.join(", ")))
            }
        }
    }

    /// A number of bytes with its unit.
    pub(super) fn size(self, least: u64) -> Option<u64> {
        let Some(bytes) = self.scalar().and_then(size_of) else {
            return self.refuse("must be a size with a unit, such as 512MiB, 1.5GiB or 800MB");
        };
        if bytes < least {
            return self.refuse(match least >> 20 {
                0 => format!("must be at least {}KiB", least >> 10),
                mebibytes => format!("must be at least {mebibytes}MiB"),
            });
        }
        Some(bytes)
    }

    pub(super) fn duration(self) -> Option<Duration> {
        self.duration_from(Duration::ZERO)
    }

    pub(super) fn duration_from(self, least: Duration) -> Option<Duration> {
        match self.scalar().and_then(|text| amount(text, &TIME_UNITS_MS)) {
            Some(milliseconds) if u128::from(milliseconds) < least.as_millis() => {
                self.refuse(format_args!("must be at least {}s", least.as_secs()))
            }
            Some(milliseconds) => Some(Duration::from_millis(milliseconds)),
            None => self.refuse("must be a time with a unit, such as 30s, 720m, 12h or 2d"),
        }
    }

    /// A map, read by `read`, which must ask for every key that it knows.
    pub(super) fn section<T>(self, read: impl FnOnce(&Section<'_>) -> T) -> Option<T> {
        if !self.is_map() {
            return self.refuse("must be a map of keys and values");
        }
        Some(self.keys(read))
    }

    /// Like [`Value::section`] for a value that is known to be a map, or may stand for one without keys.
    pub(super) fn keys<T>(self, read: impl FnOnce(&Section<'_>) -> T) -> T {
        let section = Section {
            node: self.node,
            place: self.place,
            report: self.report,
            known: RefCell::default(),
            sealed: RefCell::default(),
        };
        let value = read(&section);
        section.refuse_keys_not_asked_for();
        value
    }

    /// A list with at least one item. Items that `read` refuses are left out, so that the others are still checked.
    pub(super) fn list<T>(self, mut read: impl FnMut(Value<'a>) -> Option<T>) -> Option<Vec<(T, Place)>> {
        let Content::List(items) = &self.node.content else {
            return self.refuse("must be a list");
        };
        if items.is_empty() {
            self.report.add(&self.place, "must not be empty");
            return None;
        }
        let mut values = Vec::with_capacity(items.len());
        for (index, node) in items.iter().enumerate() {
            let place = self.place.index(node.at, index);
            if let Some(value) = read(Value { node, place: place.clone(), report: self.report }) {
                values.push((value, place));
            }
        }
        (!values.is_empty()).then_some(values)
    }

    /// Every key of a map whose keys are not ours to know.
    pub(super) fn entries<T>(self, mut read: impl FnMut(Value<'a>) -> Option<T>) -> Option<Vec<(String, T, Place)>> {
        let Content::Map(entries) = &self.node.content else {
            return self.refuse("must be a map of names and values");
        };
        let mut values = Vec::with_capacity(entries.len());
        for entry in entries {
            let place = self.place.key(entry.key_at, &entry.key);
            if let Some(value) = read(Value { node: &entry.value, place: place.clone(), report: self.report }) {
                values.push((entry.key.clone(), value, place));
            }
        }
        Some(values)
    }
}

/// Reads the document `root` as a section.
pub(super) fn read_document<T>(root: &Rc<Node>, report: &Report, read: impl FnOnce(&Section<'_>) -> T) -> Option<T> {
    Value { node: root, place: Place::root(root.at), report }.section(read)
}

/// Bytes of a size with its unit, such as `20MiB`.
pub(crate) fn size_of(text: &str) -> Option<u64> {
    amount(text, &SIZE_UNITS)
}

pub(super) const TIME_UNITS_MS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

pub(super) const SIZE_UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// `1.5GiB` in units of one: a decimal number directly followed by a unit. Rounded down.
fn amount(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(unit_at);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    if number.contains('.') {
        // Ten digits are far inside what a double holds exactly.
        let number: f64 = number.parse().ok()?;
        return Some((number * *factor as f64) as u64);
    }
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

pub(super) fn required_section<T>(field: Field<T>, report: &Report, why: &str) -> Option<(T, Place)> {
    match field {
        Field::Given(file, place) => Some((file, place)),
        other => {
            other.required(report, why);
            None
        }
    }
}

/// Reports a section that does not hold exactly one of its alternatives, given as name and "is it written".
pub(super) fn check_exactly_one(alternatives: &[(&str, bool)], place: &Place, report: &Report) {
    let names = |names: Vec<&str>| names.join(", ");
    let written: Vec<&str> = alternatives.iter().filter(|(_, written)| *written).map(|(name, _)| *name).collect();
    let all: Vec<&str> = alternatives.iter().map(|(name, _)| *name).collect();
    match written.len() {
        0 => report.add(place, format_args!("must hold one of {}", names(all))),
        1 => {}
        _ => report.add(place, format_args!("holds {}, must hold exactly one of {}", names(written), names(all))),
    }
}

/// What a text means; a constraint that it breaks is reported.
pub(super) fn parsed<T>(field: Field<String>, report: &Report, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
    let Field::Given(text, place) = field else { return None };
    parse(&text).map_err(|constraint| report.add_value(&place, &text, constraint)).ok()
}
