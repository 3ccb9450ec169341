//! Partial updates: paths, and documents that are changed by them.

use std::borrow::Cow;

use super::{DEPTH_MAX, JsonError, JsonFault, Span, Value};

/// A document under change: stored values as they are, taken apart only along the paths of the changes.
pub(super) enum Node<'a> {
    Stored(Value<'a>),
    Array(Vec<Node<'a>>, Span<'a>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>, Span<'a>),
}

pub(super) struct Diff<'a> {
    change: Change<'a>,
    path: Vec<Leg<'a>>,
    at: Span<'a>,
}

pub(super) enum Change<'a> {
    Replace(Node<'a>),
    Insert(Node<'a>),
    Remove,
}

pub(super) enum Leg<'a> {
    Member(Cow<'a, str>),
    Cell(usize),
    /// A cell counted from the end; 0 is the last one.
    CellFromEnd(usize),
}

impl<'a> Node<'a> {
    pub(super) fn document(document: Span<'a>) -> Result<Node<'a>, JsonError> {
        Value::document(document).map(Node::Stored)
    }

    pub(super) fn apply(&mut self, diff: Diff<'a>) -> Result<(), JsonError> {
        let not_found = diff.at.fault(JsonFault::PathNotFound);
        let Some((last, parents)) = diff.path.split_last() else {
            let Change::Replace(value) = diff.change else { return Err(not_found) };
            *self = value;
            return Ok(());
        };
        let mut parent = self;
        for leg in parents {
            parent = parent.child(leg)?.ok_or(not_found)?;
        }
        match diff.change {
            Change::Replace(value) => *parent.child(last)?.ok_or(not_found)? = value,
            Change::Insert(value) => parent.insert(last, value)?.ok_or(not_found)?,
            Change::Remove => parent.remove(last)?.ok_or(not_found)?,
        }
        Ok(())
    }

    /// Replaces a stored container by its elements.
    pub(super) fn take_apart(&mut self) -> Result<(), JsonError> {
        match *self {
            Node::Stored(Value::Array(container)) => {
                let element = |index| container.value(index).map(Node::Stored);
                *self = Node::Array((0..container.count).map(element).collect::<Result<_, _>>()?, container.body);
            }
            Node::Stored(Value::Object(container)) => {
                let member =
                    |index| Ok((Cow::Borrowed(container.key(index)?.text()?), Node::Stored(container.value(index)?)));
                *self = Node::Object((0..container.count).map(member).collect::<Result<_, _>>()?, container.body);
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn child(&mut self, leg: &Leg) -> Result<Option<&mut Node<'a>>, JsonError> {
        self.take_apart()?;
        Ok(match (self, leg) {
            (Node::Object(members, _), Leg::Member(key)) => {
                find_member(members, key).ok().map(|index| &mut members[index].1)
            }
            (Node::Array(elements, _), leg) => leg.cell(elements.len()).and_then(|index| elements.get_mut(index)),
            // A value that is no array is its own first and last cell.
            (node, Leg::Cell(0) | Leg::CellFromEnd(0)) => Some(node),
            _ => None,
        })
    }

    pub(super) fn insert(&mut self, leg: &Leg<'a>, value: Node<'a>) -> Result<Option<()>, JsonError> {
        self.take_apart()?;
        match (self, leg) {
            (Node::Object(members, _), Leg::Member(key)) => {
                let Err(index) = find_member(members, key) else { return Ok(None) };
                members.insert(index, (key.clone(), value));
            }
            (Node::Array(elements, _), Leg::Cell(index)) => elements.insert((*index).min(elements.len()), value),
            (Node::Array(elements, _), leg) => elements.insert(leg.cell(elements.len()).unwrap_or(0), value),
            _ => return Ok(None),
        }
        Ok(Some(()))
    }

    pub(super) fn remove(&mut self, leg: &Leg) -> Result<Option<()>, JsonError> {
        self.take_apart()?;
        match self {
            Node::Object(members, _) => {
                let Leg::Member(key) = leg else { return Ok(None) };
                let Ok(index) = find_member(members, key) else { return Ok(None) };
                members.remove(index);
            }
            Node::Array(elements, _) => match leg.cell(elements.len()) {
                Some(index) if index < elements.len() => drop(elements.remove(index)),
                _ => return Ok(None),
            },
            Node::Stored(_) => return Ok(None),
        }
        Ok(Some(()))
    }
}

/// Finds a key, or the place where the server would put it: shorter keys first, then by bytes.
fn find_member(members: &[(Cow<str>, Node)], key: &str) -> Result<usize, usize> {
    members
        .binary_search_by(|(other, _)| other.len().cmp(&key.len()).then_with(|| other.as_bytes().cmp(key.as_bytes())))
}

impl<'a> Diff<'a> {
    pub(super) fn take(rest: &mut Span<'a>) -> Result<Diff<'a>, JsonError> {
        let at = *rest;
        let operation = at.u8(0)?;
        *rest = rest.from(1)?;
        let path = take_counted(rest)?;
        let change = match operation {
            0 => Change::Replace(Node::document(take_counted(rest)?)?),
            1 => Change::Insert(Node::document(take_counted(rest)?)?),
            2 => Change::Remove,
            other => return Err(at.fault(JsonFault::Operation(other))),
        };
        Ok(Diff { change, path: parse_path(path)?, at })
    }
}

/// Takes the bytes behind a length as the client protocol writes it: one byte, or fc, fd, fe and two, three, eight bytes.
fn take_counted<'a>(rest: &mut Span<'a>) -> Result<Span<'a>, JsonError> {
    let (width, length) = match rest.u8(0)? {
        length @ 0..=250 => (1, u64::from(length)),
        0xfc => (3, u64::from(rest.u16(1)?)),
        0xfd => (4, u64::from(rest.u16(1)?) | u64::from(rest.u8(3)?) << 16),
        0xfe => (9, u64::from_le_bytes(rest.array(1)?)),
        _ => return Err(rest.fault(JsonFault::Truncated)),
    };
    let counted = rest.part(width, usize::try_from(length).unwrap_or(usize::MAX))?;
    *rest = rest.from(width + counted.bytes.len())?;
    Ok(counted)
}

impl Leg<'_> {
    pub(super) fn cell(&self, length: usize) -> Option<usize> {
        match self {
            Leg::Cell(index) => Some(*index),
            Leg::CellFromEnd(index) => length.checked_sub(index + 1),
            Leg::Member(_) => None,
        }
    }
}

/// Splits `$.name."quoted name"[3][last-1]` into its legs.
fn parse_path(span: Span) -> Result<Vec<Leg>, JsonError> {
    let invalid = span.fault(JsonFault::Path);
    let mut rest = span.text()?.strip_prefix('$').ok_or(invalid)?;
    let mut legs = Vec::new();
    while !rest.is_empty() {
        if legs.len() == DEPTH_MAX {
            return Err(span.fault(JsonFault::TooDeep));
        }
        let leg = if let Some(cell) = rest.strip_prefix('[') {
            let (index, after) = cell.split_once(']').ok_or(invalid)?;
            rest = after;
            parse_cell(index)
        } else if let Some(quoted) = rest.strip_prefix(".\"") {
            let (name, after) = unquote(quoted).ok_or(invalid)?;
            rest = after;
            Some(Leg::Member(name))
        } else {
            let name = rest.strip_prefix('.').ok_or(invalid)?;
            let (name, after) = name.split_at(name.find(['.', '[']).unwrap_or(name.len()));
            rest = after;
            Some(Leg::Member(Cow::Borrowed(name))).filter(|_| !name.is_empty())
        };
        legs.push(leg.ok_or(invalid)?);
    }
    Ok(legs)
}

fn parse_cell<'a>(index: &str) -> Option<Leg<'a>> {
    let Some(from_end) = index.strip_prefix("last") else { return index.parse().ok().map(Leg::Cell) };
    match from_end {
        "" => Some(Leg::CellFromEnd(0)),
        _ => from_end.strip_prefix('-')?.parse::<u32>().ok().map(|index| Leg::CellFromEnd(index as usize)),
    }
}

/// Reads a JSON string whose opening quote is gone; returns it with what follows its closing quote.
fn unquote(quoted: &str) -> Option<(Cow<'_, str>, &str)> {
    let plain = quoted.find(['"', '\\'])?;
    if quoted.as_bytes()[plain] == b'"' {
        return Some((Cow::Borrowed(&quoted[..plain]), &quoted[plain + 1..]));
    }
    let mut name = quoted[..plain].to_owned();
    let mut letters = quoted[plain..].chars();
    loop {
        name.push(match letters.next()? {
            '"' => return Some((Cow::Owned(name), letters.as_str())),
            '\\' => match letters.next()? {
                letter @ ('"' | '\\' | '/') => letter,
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => {
                    let high = take_hex(&mut letters)?;
                    if (0xd800..0xdc00).contains(&high) {
                        letters = letters.as_str().strip_prefix("\\u")?.chars();
                        let low = take_hex(&mut letters)?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                        char::from_u32(0x10000 + (high - 0xd800) * 0x400 + low)?
                    } else {
                        char::from_u32(high)?
                    }
                }
                _ => return None,
            },
            letter => letter,
        });
    }
}

fn take_hex(letters: &mut std::str::Chars) -> Option<u32> {
    let digits = letters.as_str().get(..4).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    *letters = letters.as_str()[4..].chars();
    u32::from_str_radix(digits, 16).ok()
}
