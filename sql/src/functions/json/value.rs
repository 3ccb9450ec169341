//! Values of JSON that are compared with each other.

use std::borrow::Cow;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::Result;

use super::super::kernel::{Call, Cell, Kernel, Miss};
use super::check::check;
use super::{Parts, part, paths, unquoted};

/// A value that is compared.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Boolean(bool),
    Integer(i128),
    Double(f64),
    Text(Cow<'a, str>),
    Array(Vec<Value<'a>>),
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

impl<'a> Value<'a> {
    pub(super) fn of(text: &'a str) -> Cell<Value<'a>> {
        Ok(match text.as_bytes().first().ok_or(Miss::Refused)? {
            b'n' => Value::Null,
            b't' => Value::Boolean(true),
            b'f' => Value::Boolean(false),
            b'"' => Value::Text(unquoted(text)?),
            b'[' => Value::Array(Parts { text, at: 1 }.map(Value::of).collect::<Cell<_>>()?),
            b'{' => {
                let mut parts = Parts { text, at: 1 };
                let mut members = Vec::new();
                while let Some((key, value)) = parts.member() {
                    members.push((unquoted(key)?, Value::of(value)?));
                }
                Value::Object(members)
            }
            _ => match text.parse::<i128>() {
                Ok(integer) => Value::Integer(integer),
                Err(_) => Value::Double(text.parse().map_err(|_| Miss::Refused)?),
            },
        })
    }

    pub(super) fn equals(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Integer(a), Value::Double(b)) | (Value::Double(b), Value::Integer(a)) => {
                *a as f64 == *b && *b as i128 == *a
            }
            (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.equals(b)),
            (Value::Object(a), Value::Object(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|((name, a), (other, b))| name == other && a.equals(b))
            }
            _ => self == other,
        }
    }

    fn contains(&self, candidate: &Value<'_>) -> bool {
        match (self, candidate) {
            (Value::Array(elements), Value::Array(wanted)) => {
                wanted.iter().all(|wanted| Value::among(elements, wanted))
            }
            (Value::Array(elements), wanted) => Value::among(elements, wanted),
            (Value::Object(members), Value::Object(wanted)) => wanted
                .iter()
                .all(|(key, wanted)| members.iter().any(|(name, member)| name == key && member.contains(wanted))),
            _ => self.equals(candidate),
        }
    }

    /// Arrays are looked into, however deep; objects for objects only.
    fn among(elements: &[Value<'_>], wanted: &Value<'_>) -> bool {
        elements.iter().any(|element| match (element, wanted) {
            (Value::Array(_), _) | (Value::Object(_), Value::Object(_)) => element.contains(wanted),
            _ => element.equals(wanted),
        })
    }
}

/// Whether a string could be what a date, a time or bytes print as.
pub(super) fn is_dubious(text: &str) -> bool {
    text.starts_with("base64:") || text.chars().filter(|c| matches!(c, ':' | '-')).count() >= 2
}

/// Whether a literal can be looked for: it is JSON, and no text in it could be what a date prints as.
pub(crate) fn is_candidate(text: &str) -> bool {
    fn is_plain(value: &Value<'_>) -> bool {
        match value {
            Value::Text(text) => !is_dubious(text),
            Value::Array(elements) => elements.iter().all(is_plain),
            Value::Object(members) => members.iter().all(|(_, value)| is_plain(value)),
            _ => true,
        }
    }
    check(text) == Ok(()) && Value::of(text.trim_ascii()).is_ok_and(|value| is_plain(&value))
}

pub(in crate::functions) fn contains(call: &Call<'_>) -> Result<ArrayRef> {
    let (documents, candidates) = (call.documents(0), call.texts(1));
    let path = (call.arity() > 2).then(|| paths(call, 2));
    let wanted = candidates.constant().unwrap_or(Err(Miss::Refused)).and_then(|text| Value::of(text.trim_ascii()));
    call.make_conditions(|row| {
        let value = part(documents.get(row)?, &path)?;
        Ok(Value::of(value)?.contains(wanted.as_ref().map_err(|miss| *miss)?))
    })
}

/// Whether two documents have an element or a member in common; what is no array is an element.
pub(in crate::functions) fn overlaps(call: &Call<'_>) -> Result<ArrayRef> {
    let (documents, candidates) = (call.documents(0), call.texts(1));
    let wanted = candidates.constant().unwrap_or(Err(Miss::Refused)).and_then(|text| Value::of(text.trim_ascii()));
    call.make_conditions(|row| {
        let value = Value::of(documents.get(row)?)?;
        Ok(match (&value, wanted.as_ref().map_err(|miss| *miss)?) {
            (Value::Array(a), Value::Array(b)) => a.iter().any(|a| b.iter().any(|b| a.equals(b))),
            (Value::Array(elements), other) | (other, Value::Array(elements)) => {
                elements.iter().any(|element| element.equals(other))
            }
            (Value::Object(a), Value::Object(b)) => {
                a.iter().any(|(name, a)| b.iter().any(|(other, b)| name == other && a.equals(b)))
            }
            (a, b) => a.equals(b),
        })
    })
}

/// `x MEMBER OF (document)`; the first argument is JSON already. A string that could be a date is not told from one.
pub(crate) fn member_of() -> Kernel {
    Kernel::new("member_of", DataType::Boolean, |call| {
        let (candidates, documents) = (call.documents(0), call.documents(1));
        call.make_conditions(|row| {
            let (wanted, document) = (Value::of(candidates.get(row)?)?, Value::of(documents.get(row)?)?);
            let found = match &document {
                Value::Array(elements) => elements.iter().any(|element| element.equals(&wanted)),
                other => other.equals(&wanted),
            };
            match &wanted {
                Value::Text(text) if found && is_dubious(text) => Err(Miss::Refused),
                _ => Ok(found),
            }
        })
    })
    .keeps_nulls()
}
