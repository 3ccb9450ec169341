//! JSON that is made of values, and JSON that is changed.
//!
//! A document is opened along the paths that are changed; everything else stays the text that it is.
//!
//! ```text
//! json_set('{"a": [1, 2], "b": {"c": 3}}', '$.b.c', 4)
//!           Object [ "a": Text([1, 2]), "b": Object [ "c": Text(3) ] ]
//! ```

use std::borrow::Cow;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::Result;

use super::super::kernel::{Call, Cell, Kernel, Miss};
use super::{DEPTH_MAX, Leg, Parts, depth_of, make_documents, paths, push_quoted, unquoted};

/// Longer names of members, MySQL does not store.
const NAME_MAX: usize = 65_535;

enum Tree<'a> {
    Text(Cow<'a, str>),
    Array(Vec<Tree<'a>>),
    /// Names as they are written, in quotes, in MySQL's order: shorter ones first.
    Object(Vec<(Cow<'a, str>, Tree<'a>)>),
}

impl<'a> Tree<'a> {
    fn of(text: &'a str) -> Tree<'a> {
        Tree::Text(Cow::Borrowed(text))
    }

    /// An array or object as such, one level deep.
    fn open(&mut self) {
        let Tree::Text(text) = self else { return };
        *self = match text {
            Cow::Borrowed(text) => opened(text),
            Cow::Owned(_) => return,
        };
    }

    fn opened(text: &'a str) -> Tree<'a> {
        let mut tree = Tree::of(text);
        tree.open();
        tree
    }

    fn write(&self, out: &mut String) {
        match self {
            Tree::Text(text) => out.push_str(text),
            Tree::Array(elements) => {
                out.push('[');
                for (at, element) in elements.iter().enumerate() {
                    out.push_str(if at > 0 { ", " } else { "" });
                    element.write(out);
                }
                out.push(']');
            }
            Tree::Object(members) => {
                out.push('{');
                for (at, (name, value)) in members.iter().enumerate() {
                    out.push_str(if at > 0 { ", " } else { "" });
                    out.push_str(name);
                    out.push_str(": ");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// The value that a path finds; what is no array is its own first element.
    fn find(&mut self, path: &[Leg]) -> Cell<Option<&mut Tree<'a>>> {
        let mut found = self;
        for leg in path {
            found.open();
            let is_array = matches!(found, Tree::Array(_));
            found = match (found, leg) {
                (Tree::Object(members), Leg::Member(name)) => match place(members, name)? {
                    Ok(at) => &mut members[at].1,
                    Err(_) => return Ok(None),
                },
                (Tree::Array(elements), Leg::Element(_) | Leg::FromLast(_)) => match index(leg, elements.len()) {
                    Some(at) => &mut elements[at],
                    None => return Ok(None),
                },
                (other, Leg::Element(0) | Leg::FromLast(0)) if !is_array => other,
                _ => return Ok(None),
            };
        }
        Ok(Some(found))
    }
}

fn opened(text: &str) -> Tree<'_> {
    if let Some(elements) = Parts::of(text, '[') {
        return Tree::Array(elements.map(Tree::of).collect());
    }
    match Parts::of(text, '{') {
        Some(mut parts) => {
            let mut members = Vec::new();
            while let Some((name, value)) = parts.member() {
                members.push((Cow::Borrowed(name), Tree::of(value)));
            }
            Tree::Object(members)
        }
        None => Tree::of(text),
    }
}

/// The place of a member, or where it would be.
fn place(members: &[(Cow<'_, str>, Tree<'_>)], name: &str) -> Cell<std::result::Result<usize, usize>> {
    for (at, (other, _)) in members.iter().enumerate() {
        let other = unquoted(other)?;
        match (other.len(), other.as_bytes()).cmp(&(name.len(), name.as_bytes())) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => return Ok(Ok(at)),
            std::cmp::Ordering::Greater => return Ok(Err(at)),
        }
    }
    Ok(Err(members.len()))
}

/// Which element of so many a leg means.
fn index(leg: &Leg, length: usize) -> Option<usize> {
    match leg {
        Leg::Element(at) => Some(*at).filter(|at| *at < length),
        Leg::FromLast(back) => length.checked_sub(back + 1),
        Leg::Member(_) => None,
    }
}

/// Where an element goes that is not there: to the front if it is counted from the last one.
fn outside(leg: &Leg, length: usize) -> usize {
    if matches!(leg, Leg::FromLast(_)) { 0 } else { length }
}

fn quoted(name: &str) -> Cell<String> {
    if name.len() > NAME_MAX {
        return Err(Miss::Refused);
    }
    let mut out = String::with_capacity(name.len() + 2);
    push_quoted(name, &mut out);
    Ok(out)
}

fn finish(tree: &Tree<'_>, out: &mut String) -> Cell<()> {
    tree.write(out);
    match depth_of(out)? {
        depth if depth > DEPTH_MAX as i64 => Err(Miss::Refused),
        _ => Ok(()),
    }
}

/// What a condition or a text becomes inside of JSON. NULL is handed on; whoever takes it writes `null`.
pub(crate) fn of_value() -> Kernel {
    Kernel::new("json_of", DataType::LargeUtf8, |call| {
        if *call.data_type(0) == DataType::Boolean {
            let conditions = call.conditions(0);
            return make_documents(call, |row, out| {
                out.push_str(if conditions.get(row)? { "true" } else { "false" });
                Ok(())
            });
        }
        let texts = call.texts(0);
        make_documents(call, |row, out| {
            push_quoted(texts.get(row)?, out);
            Ok(())
        })
    })
    .keeps_nulls()
}

/// The digits of a number as JSON.
pub(crate) fn of_digits() -> Kernel {
    Kernel::new("json_of_digits", DataType::LargeUtf8, |call| {
        let texts = call.texts(0);
        make_documents(call, |row, out| {
            out.push_str(texts.get(row)?);
            Ok(())
        })
    })
    .keeps_nulls()
}

/// The value of an argument; NULL is `null`.
fn value<'a>(call: &'a Call<'_>, at: usize, row: usize) -> Tree<'a> {
    Tree::of(call.documents(at).get(row).unwrap_or("null"))
}

pub(in crate::functions) fn array(call: &Call<'_>) -> Result<ArrayRef> {
    make_documents(call, |row, out| {
        finish(&Tree::Array((0..call.arity()).map(|at| value(call, at, row)).collect()), out)
    })
}

/// Of members that have the same name, the last one counts.
pub(in crate::functions) fn object(call: &Call<'_>) -> Result<ArrayRef> {
    make_documents(call, |row, out| {
        let mut members = Vec::new();
        for at in (0..call.arity()).step_by(2) {
            let name = call.texts(at).get(row).map_err(|_| Miss::Refused)?;
            put(&mut members, name, value(call, at + 1, row))?;
        }
        finish(&Tree::Object(members), out)
    })
}

fn put<'a>(members: &mut Vec<(Cow<'a, str>, Tree<'a>)>, name: &str, value: Tree<'a>) -> Cell<()> {
    match place(members, name)? {
        Ok(at) => members[at].1 = value,
        Err(at) => members.insert(at, (Cow::Owned(quoted(name)?), value)),
    }
    Ok(())
}

pub(in crate::functions) fn set(call: &Call<'_>) -> Result<ArrayRef> {
    put_at_paths(call, true, true)
}

pub(in crate::functions) fn insert(call: &Call<'_>) -> Result<ArrayRef> {
    put_at_paths(call, false, true)
}

pub(in crate::functions) fn replace(call: &Call<'_>) -> Result<ArrayRef> {
    put_at_paths(call, true, false)
}

/// Pairs of paths and values, one after the other.
fn put_at_paths(call: &Call<'_>, replaces: bool, adds: bool) -> Result<ArrayRef> {
    changed(call, 2, |tree, path, at, row| {
        if let Some(found) = tree.find(path)? {
            if replaces {
                *found = value(call, at + 1, row);
            }
            return Ok(());
        }
        let (Some((last, parents)), true) = (path.split_last(), adds) else { return Ok(()) };
        let Some(parent) = tree.find(parents)? else { return Ok(()) };
        parent.open();
        match (parent, last) {
            (Tree::Object(members), Leg::Member(name)) => put(members, name, value(call, at + 1, row))?,
            (_, Leg::Member(_)) => {}
            (Tree::Array(elements), leg) => {
                let at_end = outside(leg, elements.len());
                elements.insert(at_end, value(call, at + 1, row));
            }
            (other, leg) => {
                let mut elements = vec![std::mem::replace(other, Tree::of(""))];
                elements.insert(outside(leg, 1), value(call, at + 1, row));
                *other = Tree::Array(elements);
            }
        }
        Ok(())
    })
}

/// A document that is changed at the paths among the arguments, each of which has so many arguments, itself included.
fn changed<'c>(
    call: &'c Call<'_>,
    step: usize,
    change: impl Fn(&mut Tree<'c>, &[Leg], usize, usize) -> Cell<()>,
) -> Result<ArrayRef> {
    let documents = call.documents(0);
    let paths: Vec<(usize, Cell<Vec<Leg>>)> = (1..call.arity()).step_by(step).map(|at| (at, paths(call, at))).collect();
    make_documents(call, |row, out| {
        let mut tree = Tree::of(documents.get(row)?);
        for (at, path) in &paths {
            change(&mut tree, path.as_ref().map_err(|miss| *miss)?, *at, row)?;
        }
        finish(&tree, out)
    })
}

pub(in crate::functions) fn remove(call: &Call<'_>) -> Result<ArrayRef> {
    changed(call, 1, |tree, path, _, _| {
        // A first element that is the value itself is removed as that.
        let mut path = path;
        loop {
            let (last, parents) = path.split_last().ok_or(Miss::Refused)?;
            let Some(parent) = tree.find(parents)? else { return Ok(()) };
            parent.open();
            match (parent, last) {
                (Tree::Object(members), Leg::Member(name)) => {
                    if let Ok(at) = place(members, name)? {
                        members.remove(at);
                    }
                }
                (Tree::Array(elements), leg) => {
                    if let Some(at) = index(leg, elements.len()) {
                        elements.remove(at);
                    }
                }
                (_, Leg::Element(0) | Leg::FromLast(0)) => {
                    path = parents;
                    continue;
                }
                _ => {}
            }
            return Ok(());
        }
    })
}

pub(in crate::functions) fn array_append(call: &Call<'_>) -> Result<ArrayRef> {
    changed(call, 2, |tree, path, at, row| {
        let Some(found) = tree.find(path)? else { return Ok(()) };
        found.open();
        match found {
            Tree::Array(elements) => elements.push(value(call, at + 1, row)),
            other => *other = Tree::Array(vec![std::mem::replace(other, Tree::of("")), value(call, at + 1, row)]),
        }
        Ok(())
    })
}

pub(in crate::functions) fn array_insert(call: &Call<'_>) -> Result<ArrayRef> {
    changed(call, 2, |tree, path, at, row| {
        let Some((leg @ (Leg::Element(_) | Leg::FromLast(_)), parents)) = path.split_last() else {
            return Err(Miss::Refused);
        };
        let Some(parent) = tree.find(parents)? else { return Ok(()) };
        parent.open();
        if let Tree::Array(elements) = parent {
            let place = index(leg, elements.len()).unwrap_or_else(|| outside(leg, elements.len()));
            elements.insert(place, value(call, at + 1, row));
        }
        Ok(())
    })
}

/// Members of the later document replace those of the earlier one, `null` removes them. NULL counts until something that is no object
/// comes.
pub(in crate::functions) fn merge_patch(call: &Call<'_>) -> Result<ArrayRef> {
    make_documents(call, |row, out| {
        let mut merged: Cell<Tree<'_>> = call.documents(0).get(row).map(Tree::of);
        for at in 1..call.arity() {
            merged = match (merged, call.documents(at).get(row)) {
                (_, Err(miss)) => Err(miss),
                (_, Ok(patch)) if !patch.starts_with('{') => Ok(Tree::of(patch)),
                (Err(miss), _) => Err(miss),
                (Ok(tree), Ok(patch)) => Ok(patched(tree, Tree::of(patch))?),
            };
        }
        finish(&merged?, out)
    })
}

fn patched<'a>(mut tree: Tree<'a>, mut patch: Tree<'a>) -> Cell<Tree<'a>> {
    patch.open();
    let Tree::Object(changes) = patch else { return Ok(patch) };
    tree.open();
    let mut members = match tree {
        Tree::Object(members) => members,
        _ => Vec::new(),
    };
    for (name, change) in changes {
        let plain = unquoted(&name)?.into_owned();
        let at = place(&members, &plain)?;
        let removes = matches!(&change, Tree::Text(text) if text == "null");
        match (at, removes) {
            (Ok(at), true) => drop(members.remove(at)),
            (Err(_), true) => {}
            (Ok(at), false) => {
                let old = std::mem::replace(&mut members[at].1, Tree::of(""));
                members[at].1 = patched(old, change)?;
            }
            (Err(at), false) => members.insert(at, (name, patched(Tree::of("null"), change)?)),
        }
    }
    Ok(Tree::Object(members))
}

/// Arrays are put behind each other, members of the same name merged, and what is no array counts as one.
pub(in crate::functions) fn merge_preserve(call: &Call<'_>) -> Result<ArrayRef> {
    make_documents(call, |row, out| {
        let mut merged = Tree::of(call.documents(0).get(row)?);
        for at in 1..call.arity() {
            merged = preserved(merged, Tree::of(call.documents(at).get(row)?))?;
        }
        finish(&merged, out)
    })
}

fn preserved<'a>(mut left: Tree<'a>, mut right: Tree<'a>) -> Cell<Tree<'a>> {
    left.open();
    right.open();
    Ok(match (left, right) {
        (Tree::Object(mut members), Tree::Object(others)) => {
            for (name, other) in others {
                let plain = unquoted(&name)?.into_owned();
                match place(&members, &plain)? {
                    Ok(at) => {
                        let old = std::mem::replace(&mut members[at].1, Tree::of(""));
                        members[at].1 = preserved(old, other)?;
                    }
                    Err(at) => members.insert(at, (name, other)),
                }
            }
            Tree::Object(members)
        }
        (left, right) => {
            let elements = |tree: Tree<'a>| match tree {
                Tree::Array(elements) => elements,
                other => vec![other],
            };
            let mut all = elements(left);
            all.extend(elements(right));
            Tree::Array(all)
        }
    })
}

/// In lines, each level two spaces further in.
pub(in crate::functions) fn pretty(call: &Call<'_>) -> Result<ArrayRef> {
    let documents = call.documents(0);
    call.make_text(|row, out| {
        write_pretty(Tree::opened(documents.get(row)?), 0, out);
        Ok(())
    })
}

fn write_pretty(tree: Tree<'_>, level: usize, out: &mut String) {
    let line = |level: usize, out: &mut String| {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', 2 * level));
    };
    let inner = |mut tree: Tree<'_>, out: &mut String| {
        tree.open();
        write_pretty(tree, level + 1, out);
    };
    match tree {
        Tree::Array(elements) if !elements.is_empty() => {
            out.push('[');
            for (at, element) in elements.into_iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                line(level + 1, out);
                inner(element, out);
            }
            line(level, out);
            out.push(']');
        }
        Tree::Object(members) if !members.is_empty() => {
            out.push('{');
            for (at, (name, value)) in members.into_iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                line(level + 1, out);
                out.push_str(&name);
                out.push_str(": ");
                inner(value, out);
            }
            line(level, out);
            out.push('}');
        }
        other => other.write(out),
    }
}
