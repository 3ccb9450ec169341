//! YAML text → a tree in which every key and value knows its line and column.
//!
//! The task file is read as text first and given types later (`reader.rs`): so all errors of a file can be told at
//! once, and a value's type follows from its key. `password: 0123` is the text `0123`, whatever YAML takes it for, and
//! the key in `null: {}` is the text `null`.
//!
//! Only what would be ambiguous later is refused here: bad syntax, a key that is written twice, several documents.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use serde_saphyr::granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Span, options};

/// Where something stands in the file. Lines and columns count characters, from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    pub line: usize,
    pub column: usize,
}

impl From<&Marker> for Location {
    fn from(marker: &Marker) -> Self {
        Location { line: marker.line(), column: marker.col() + 1 }
    }
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) content: Content,
    pub(super) at: Location,
    pub(super) left_out: Option<LeftOut>,
}

/// What YAML does not take for a part of a value, though somebody may have meant it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeftOut {
    /// `#word`: a comment has a space behind the sign.
    Comment,
    /// At the end of the line.
    Spaces,
    /// `&word` before the value.
    Anchor,
}

impl LeftOut {
    /// Of a value without quotes, by the line and the column in which its key stands.
    fn of(value: &str, line: &str, key_column: usize) -> Option<LeftOut> {
        let (key_at, _) = line.char_indices().nth(key_column - 1)?;
        let (_, written) = line[key_at..].split_once(':')?;
        let behind = written.trim_start().strip_prefix(value)?;
        match (behind.trim_start(), value.is_empty()) {
            ("", false) if !behind.is_empty() => Some(LeftOut::Spaces),
            (rest, _) if rest.starts_with('#') && !rest[1..].starts_with([' ', '#']) && rest.len() > 1 => {
                Some(LeftOut::Comment)
            }
            (rest, true) if rest.starts_with('&') => Some(LeftOut::Anchor),
            _ => None,
        }
    }

    /// What to write.
    pub(super) fn message(self) -> &'static str {
        match self {
            LeftOut::Comment => {
                "to YAML a comment begins with the #: put the whole value between single quotes (a quote within it twice), or a space behind \
                 the # of a comment"
            }
            LeftOut::Spaces => {
                "to YAML the spaces at the end of the line are not part of it: put the value between single quotes if they are, else \
                 remove them"
            }
            LeftOut::Anchor => "to YAML a text that begins with & is an anchor: put the value between single quotes",
        }
    }
}

/// What it says, wherever that stands.
impl Hash for Node {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.content.hash(hasher);
    }
}

#[derive(Debug, Hash)]
pub(super) enum Content {
    /// `plain` is false for text in quotes and for block text, which is never null, a number or a boolean.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Rc<Node>>),
    Map(Vec<Entry>),
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_at: Location,
    pub(super) value: Rc<Node>,
}

impl Hash for Entry {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (&self.key, &self.value).hash(hasher);
    }
}

/// A variable that a value names and that is not set.
#[derive(Debug)]
pub(super) struct Unset {
    /// Where the value stands, of which nothing else can be said.
    pub(super) value_at: Location,
    pub(super) at: Location,
    pub(super) message: String,
}

/// What makes the text unreadable as one YAML document.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) at: Location,
    pub(super) message: String,
}

impl Node {
    pub(super) fn is_null(&self) -> bool {
        let Content::Scalar { text, plain: true } = &self.content else { return false };
        matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

/// Variables by name; none if it is not set.
pub(super) type Variables<'v> = &'v dyn Fn(&str) -> Option<String>;

/// Reads the one document of `text`, with the `variables` that its values name, and tells those that are not set. Anchors and
/// aliases work and share their node, so a file cannot grow by them.
pub(super) fn parse(text: &str, variables: Variables<'_>) -> Result<(Rc<Node>, Vec<Unset>), SyntaxError> {
    let lines = text.lines().collect();
    let mut tree = Tree { variables, lines, open: Vec::new(), anchors: HashMap::new(), root: None, unset: Vec::new() };
    for event in Parser::new_from_str_with_options(text, options! { emit_comments: false }) {
        let (event, span) = event.map_err(syntax_error)?;
        tree.accept(event, span, text)?;
    }
    let start = Location { line: 1, column: 1 };
    let root = tree.root.ok_or_else(|| SyntaxError { at: start, message: "the file is empty".into() })?;
    Ok((root, tree.unset))
}

/// The nodes that have begun and not ended, outermost first.
struct Tree<'v> {
    variables: Variables<'v>,
    lines: Vec<&'v str>,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
    unset: Vec<Unset>,
}

struct Open {
    content: OpenContent,
    at: Location,
    anchor: usize,
}

enum OpenContent {
    List(Vec<Rc<Node>>),
    Map { entries: Vec<Entry>, key: Option<(String, Location)> },
}

impl Tree<'_> {
    fn accept(&mut self, event: Event<'_>, span: Span, text: &str) -> Result<(), SyntaxError> {
        let at = Location::from(&span.start);
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                let value = if tag.is_some() { tag_as_text(&value, &span, text)? } else { value.into_owned() };
                let is_key = matches!(self.open.last(), Some(Open { content: OpenContent::Map { key: None, .. }, .. }));
                let value = if is_key { value } else { self.put_in_variables(value, at, span.slice(text)) };
                let left_out = match (style, self.open.last()) {
                    (
                        ScalarStyle::Plain,
                        Some(Open { content: OpenContent::Map { key: Some((_, key_at)), .. }, .. }),
                    ) => {
                        let line = self.lines.get(key_at.line - 1).copied().unwrap_or_default();
                        LeftOut::of(span.slice(text).unwrap_or_default(), line, key_at.column)
                    }
                    _ => None,
                };
                let content = Content::Scalar { text: value, plain: style == ScalarStyle::Plain };
                self.finish(Node { content, at, left_out }, anchor)
            }
            Event::SequenceStart(_, _, Some(_)) | Event::MappingStart(_, _, Some(_)) => Err(tag_error(&span)),
            Event::SequenceStart(_, anchor, None) => {
                self.open.push(Open { content: OpenContent::List(Vec::new()), at, anchor });
                Ok(())
            }
            Event::MappingStart(_, anchor, None) => {
                let content = OpenContent::Map { entries: Vec::new(), key: None };
                self.open.push(Open { content, at, anchor });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Open { content, at, anchor } = self.open.pop().expect("the parser pairs starts and ends");
                let content = match content {
                    OpenContent::List(items) => Content::List(items),
                    OpenContent::Map { entries, .. } => Content::Map(entries),
                };
                self.finish(Node { content, at, left_out: None }, anchor)
            }
            Event::Alias(id) => match self.anchors.get(&id) {
                Some(node) => self.place(Rc::clone(node)),
                None => Err(SyntaxError { at, message: "this alias stands inside the value that it names".into() }),
            },
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(SyntaxError { at, message: "a second document begins here, a task file has one".into() })
            }
            _ => Ok(()),
        }
    }

    /// Of a value that stands at a place, as it is written.
    fn put_in_variables(&mut self, value: String, at: Location, written: Option<&str>) -> String {
        if !value.contains("${") {
            return value;
        }
        let (mut text, mut rest) = (String::with_capacity(value.len()), &*value);
        while let Some(begin) = rest.find("${") {
            let (before, tail) = rest.split_at(begin);
            let Some(name) = tail[2..].split_once('}').map(|(name, _)| name).filter(|name| is_variable(name)) else {
                text += &rest[..begin + 2];
                rest = &tail[2..];
                continue;
            };
            rest = &tail[name.len() + 3..];
            if let Some(before) = before.strip_suffix('$') {
                text += &format!("{before}${{{name}}}");
                continue;
            }
            text += before;
            match (self.variables)(name) {
                Some(variable) => text += &variable,
                None => {
                    let message = format!(
                        "environment variable {name} is not set, which this value names (a text ${{{name}}} is written $${{{name}}})"
                    );
                    let place = place_within(at, written, &format!("${{{name}}}"));
                    self.unset.push(Unset { value_at: at, at: place, message });
                    // The value is not nothing: it is not known.
                    text += &format!("${{{name}}}");
                }
            }
        }
        text + rest
    }

    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), SyntaxError> {
        let node = Rc::new(node);
        // Zero stands for "no anchor".
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.place(node)
    }

    /// Puts a finished node where it belongs: into the innermost open list or map, there as a key or as a value.
    fn place(&mut self, node: Rc<Node>) -> Result<(), SyntaxError> {
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut parent.content {
            OpenContent::List(items) => items.push(node),
            OpenContent::Map { entries, key } => match key.take() {
                Some((key, key_at)) => entries.push(Entry { key, key_at, value: node }),
                None => {
                    let Content::Scalar { text, .. } = &node.content else {
                        return Err(SyntaxError { at: node.at, message: "a key must be a word".into() });
                    };
                    if let Some(first) = entries.iter().find(|entry| entry.key == *text) {
                        let message = format!("`{text}` is written twice, first in line {}", first.key_at.line);
                        return Err(SyntaxError { at: node.at, message });
                    }
                    *key = Some((text.clone(), node.at));
                }
            },
        }
        Ok(())
    }
}

fn is_variable(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(is_letter) && name.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}

/// Of a part of a value that begins at `at` and is written so.
fn place_within(at: Location, written: Option<&str>, part: &str) -> Location {
    let Some(before) = written.and_then(|written| Some(&written[..written.find(part)?])) else { return at };
    match before.rsplit_once('\n') {
        Some((lines, last)) => {
            Location { line: at.line + lines.matches('\n').count() + 1, column: last.chars().count() + 1 }
        }
        None => Location { line: at.line, column: at.column + before.chars().count() },
    }
}

/// `- !shop.tmp` is meant as text, but to YAML it is a tag on nothing. A tag on something is not meant as anything
/// here.
fn tag_as_text(value: &str, span: &Span, text: &str) -> Result<String, SyntaxError> {
    let tag = span.tag_span().and_then(|tag| tag.slice(text));
    match tag {
        Some(tag) if value.is_empty() && !tag.starts_with("!!") => Ok(tag.to_owned()),
        _ => Err(tag_error(span)),
    }
}

fn tag_error(span: &Span) -> SyntaxError {
    let at = Location::from(&span.tag_start.unwrap_or(span.start));
    SyntaxError { at, message: "to YAML this is a tag: a text that begins with ! goes between quotes".into() }
}

/// As YAML means it: no control characters, and none that Unicode has left out.
fn is_printable(character: char) -> bool {
    !character.is_control() && u32::from(character) & 0xfffe != 0xfffe && character != '\u{feff}'
}

/// The parser's words, and what to do about what people do write: patterns, back-ticks, SQL.
fn syntax_error(error: ScanError) -> SyntaxError {
    let what = match error.kind() {
        ErrorKind::UnknownAnchor => "a text that begins with * goes between quotes".to_owned(),
        // Also between quotes.
        ErrorKind::UnexpectedCharacter { character } if !is_printable(*character) => {
            let code = u32::from(*character);
            format!("U+{code:04X} cannot stand in a file of YAML: write it as \"\\U{code:08X}\" between double quotes")
        }
        ErrorKind::UnexpectedCharacter { character } => {
            format!("a text that begins with {character} goes between quotes")
        }
        ErrorKind::MappingValueNotAllowed => {
            "no key can stand here: check the indentation, or put a text that holds a colon and a space between quotes"
                .to_owned()
        }
        ErrorKind::TabInPlainScalar => "lines begin with spaces, not with tabs".to_owned(),
        _ => error.info(),
    };
    SyntaxError { at: Location::from(error.marker()), message: format!("not YAML: {what}") }
}
