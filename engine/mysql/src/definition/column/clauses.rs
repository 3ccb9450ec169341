//! What stands behind a column's type and says nothing of its values: it is read over.

use super::super::cursor::{Cursor, Read};
use super::super::tokens::Token;

/// A literal, a function, or an expression in parentheses.
pub(super) fn default_value(cursor: &mut Cursor<'_>) -> Read<()> {
    if cursor.is_other('(') {
        return cursor.parentheses();
    }
    if !cursor.skip_other('-') {
        cursor.skip_other('+');
    }
    match cursor.peek() {
        Some(Token::Text(_)) => {
            while matches!(cursor.peek(), Some(Token::Text(_))) {
                cursor.next += 1;
            }
        }
        Some(Token::Number(_)) => cursor.next += 1,
        // .5
        Some(Token::Other('.')) => cursor.next += 2,
        Some(Token::Word(word)) => {
            let is_typed = ["DATE", "TIME", "TIMESTAMP"].iter().any(|known| word.eq_ignore_ascii_case(known))
                || word.starts_with('_');
            cursor.next += 1;
            if is_typed && matches!(cursor.peek(), Some(Token::Text(_) | Token::Number(_))) {
                cursor.next += 1;
            } else if cursor.is_other('(') {
                cursor.parentheses()?;
            }
        }
        _ => return Err(cursor.not_understood()),
    }
    Ok(())
}

/// Behind REFERENCES.
pub(in crate::definition) fn references(cursor: &mut Cursor<'_>) -> Read<()> {
    cursor.table_name()?;
    if cursor.is_other('(') {
        cursor.parentheses()?;
    }
    loop {
        if cursor.skip("MATCH") {
            cursor.name()?;
        } else if cursor.skip_all(&["ON", "DELETE"]) || cursor.skip_all(&["ON", "UPDATE"]) {
            if !(cursor.skip_any(&["RESTRICT", "CASCADE"])
                || cursor.skip_all(&["SET", "NULL"])
                || cursor.skip_all(&["SET", "DEFAULT"])
                || cursor.skip_all(&["NO", "ACTION"]))
            {
                return Err(cursor.not_understood());
            }
        } else {
            return Ok(());
        }
    }
}
