//! By which collation text of a column compares, as far as a statement tells.
//!
//! ```text
//! a VARCHAR(9) COLLATE utf8mb4_bin          that one
//! a VARCHAR(9) CHARACTER SET latin1         the default of the set, in the session
//! a VARCHAR(9) BINARY                       the set's `_bin`
//! a VARCHAR(9)                              the table's; a table that names none has the database's
//! ```
//!
//! What is not known stays untold: values do not depend on it, and an expression that compares such text is refused.

use std::sync::Arc;

use super::super::charset::Charset;
use super::super::collation::own_name;
use super::session::Session;

pub(crate) type Name = Option<Arc<str>>;

/// What text has that names nothing, as far as somebody has told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextDefault {
    pub charset: Option<Charset>,
    pub collation: Option<Arc<str>>,
}

impl TextDefault {
    /// With what a statement says after it.
    pub(super) fn with(&self, choice: Option<&Choice>, inherited: &TextDefault, session: &Session) -> TextDefault {
        match choice {
            None => self.clone(),
            // MariaDB's DEFAULT has the character set alone, with that set's own collation.
            Some(Choice::Inherited) if session.server.is_mariadb => {
                TextDefault { charset: inherited.charset, collation: None }
            }
            Some(Choice::Inherited) => inherited.clone(),
            Some(Choice::Named(charset, collation)) => {
                TextDefault { charset: Some(*charset), collation: collation.clone() }
            }
            Some(Choice::Ordered(name)) => {
                TextDefault { charset: self.charset, collation: full_name(name, self.charset, session) }
            }
        }
    }
}

/// What a table, or a database, says of the text of what says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Named(Charset, Name),
    /// `DEFAULT`: what it would have if it said nothing.
    Inherited,
    /// A collation of MariaDB's that fits several character sets.
    Ordered(String),
}

impl Choice {
    /// With what the same statement says behind it.
    pub(super) fn then(before: Option<Choice>, next: Choice, session: &Session) -> Option<Choice> {
        Some(match (before, next) {
            (Some(Choice::Named(charset, _)), Choice::Ordered(name)) => {
                Choice::Named(charset, full_name(&name, Some(charset), session))
            }
            (_, next) => next,
        })
    }
}

/// A collation as it is written; MariaDB's newest name no character set.
pub(super) fn full_name(written: &str, charset: Option<Charset>, session: &Session) -> Name {
    let written = written.to_ascii_lowercase();
    if written.starts_with("uca1400_") {
        return Some(format!("{}_{written}", charset?.name()).into());
    }
    let name = match written.strip_prefix("utf8_") {
        Some(rest) => format!("utf8mb3_{rest}"),
        None => written,
    };
    Some(if session.server.is_mariadb { own_name(&name) } else { name }.into())
}

/// That of a character set that is named without one.
pub(super) fn default_of(charset: Charset, session: &Session) -> Name {
    let server = &session.server;
    // From here on the session says which, as the binlog does only with other words than those that are read here.
    if server.is_mariadb && server.version >= 110_300 {
        return None;
    }
    Some(match charset {
        Charset::Utf8mb4 if server.is_mysql_from(80_001) => {
            session.default_of_utf8mb4.clone().unwrap_or_else(|| "utf8mb4_0900_ai_ci".into())
        }
        Charset::Utf8mb4 => "utf8mb4_general_ci".into(),
        Charset::Binary => return None,
        Charset::Latin1 => "latin1_swedish_ci".into(),
        Charset::Latin5 => "latin5_turkish_ci".into(),
        Charset::Utf8mb3
        | Charset::Ascii
        | Charset::Cp850
        | Charset::Cp852
        | Charset::Cp866
        | Charset::Keybcs2
        | Charset::Koi8r
        | Charset::Koi8u
        | Charset::Latin2
        | Charset::Latin7
        | Charset::Macce
        | Charset::Macroman => format!("{}_general_ci", charset.name()).into(),
        // Of the others, no default is known to those who compare.
        _ => return None,
    })
}

/// The order of its codes.
pub(super) fn binary_of(charset: Charset) -> Name {
    Some(format!("{}_bin", charset.name()).into())
}

/// The table's, for a column of the same character set.
pub(super) fn of_table(table: &Name, charset: Charset) -> Name {
    table.clone().filter(|name| name.split('_').next() == Some(charset.name()))
}
