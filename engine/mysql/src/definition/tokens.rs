//! The words of a statement, as the server that carried it out told them apart.
//!
//! What a quote, a backslash or a comment means depends on the session and on the server:
//!
//! ```text
//! "a"                    a string; a name with ANSI_QUOTES
//! 'it\'s'                one string; with NO_BACKSLASH_ESCAPES it ends before the s
//! /*!80023 INVISIBLE */  text for MySQL 8.0.23 and later, a comment before
//! /*M!100100 … */        text for MariaDB 10.1 and later, a comment for MySQL
//! ```

use super::super::charset::Charset;
use super::NotUnderstood;
use super::session::Session;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A bare word, which may be a name or a keyword.
    Word(String),
    /// Digits, with a point and an exponent where they have them; also `0x…` and `0b…`.
    Number(String),
    /// A quoted name.
    Name(String),
    Text(Literal),
    Other(char),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Literal {
    /// `N`, `X`, `B` or a character set's name with its underscore.
    pub(crate) prefix: Option<String>,
    pub(crate) text: String,
}

impl Token {
    pub(crate) fn is(&self, word: &str) -> bool {
        matches!(self, Token::Word(text) if text.eq_ignore_ascii_case(word))
    }
}

pub(crate) fn tokens(sql: &str, session: &Session) -> Result<Vec<Token>, NotUnderstood> {
    let mut out = Vec::new();
    let mut rest = sql;
    let mut in_version_comment = false;
    while let Some(first) = rest.chars().next() {
        if is_space(first, session) || first == '\0' {
            rest = &rest[first.len_utf8()..];
        } else if in_version_comment && rest.starts_with("*/") {
            in_version_comment = false;
            rest = &rest[2..];
        } else if rest.starts_with("/*") {
            match versioned(rest, session) {
                Some(body) => {
                    in_version_comment = true;
                    rest = body;
                }
                None => rest = after_comment(rest)?,
            }
        } else if first == '#' || is_line_comment(rest, session) {
            rest = rest.find('\n').map_or("", |end| &rest[end + 1..]);
        } else if first == '`' || (first == '"' && session.has_ansi_quotes()) {
            let (name, after) = quoted(rest, first, false)?;
            out.push(Token::Name(name));
            rest = after;
        } else if first == '\'' || first == '"' {
            let (text, after) = quoted(rest, first, !session.has_no_backslash_escapes())?;
            out.push(Token::Text(Literal { prefix: None, text }));
            rest = after;
        } else if is_of_word(first, session) {
            let (token, after) = word(rest, out.last() == Some(&Token::Other('.')), session)?;
            out.push(token);
            rest = after;
        } else {
            out.push(Token::Other(first));
            rest = &rest[first.len_utf8()..];
        }
    }
    Ok(out)
}

/// What Unicode has besides is a letter to servers; but for the no-break space of some clients' character sets, as all three families of
/// servers were seen to take it.
fn is_space(c: char, session: &Session) -> bool {
    let has_another = |charset| {
        use Charset::{Armscii8, Cp1250, Dec8, Geostd8, Greek, Hebrew, Latin1, Latin2, Latin5, Latin7};
        matches!(charset, Armscii8 | Cp1250 | Dec8 | Geostd8 | Greek | Hebrew | Latin1 | Latin2 | Latin5 | Latin7)
    };
    matches!(c, ' ' | '\t'..='\r') || (c == '\u{a0}' && session.client_charset.is_some_and(has_another))
}

fn is_of_word(c: char, session: &Session) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$') || (c as u32 >= 0x80 && !is_space(c, session))
}

/// Two dashes begin a comment only before white space.
fn is_line_comment(rest: &str, session: &Session) -> bool {
    let ends = |c| is_space(c, session) || c.is_ascii_control();
    rest.strip_prefix("--").is_some_and(|rest| rest.chars().next().is_none_or(ends))
}

/// The text of a comment that the server reads, from there on.
fn versioned<'a>(rest: &'a str, session: &Session) -> Option<&'a str> {
    let server = &session.server;
    let body = match rest.strip_prefix("/*M!") {
        Some(body) if server.is_mariadb => body,
        Some(_) => return None,
        None => rest.strip_prefix("/*!")?,
    };
    let digits = body.bytes().take_while(u8::is_ascii_digit).count().min(6);
    if digits < 5 {
        return Some(body);
    }
    // Six digits are a version, too, where white space follows them; MariaDB takes them always.
    let ends = |length: usize| body[length..].starts_with(|c| is_space(c, session));
    let digits = if digits == 6 && !server.is_mariadb && !ends(6) { 5 } else { digits };
    let version: u32 = body[..digits].parse().ok()?;
    // MariaDB takes what is meant for MySQL 5.7 and later for a comment.
    let is_for_mysql = server.is_mariadb && !rest.starts_with("/*M") && (50_700..=99_999).contains(&version);
    (version <= server.version && !is_for_mysql).then_some(&body[digits..])
}

fn after_comment(rest: &str) -> Result<&str, NotUnderstood> {
    let body = &rest[2..];
    let end = body.find("*/").ok_or_else(|| NotUnderstood::new("a comment without an end"))?;
    // Inside a comment that is left out for its version, another one may stand.
    match body[..end].find("/*") {
        Some(inner) if rest.starts_with("/*!") || rest.starts_with("/*M!") => {
            let after_inner = after_comment(&body[inner..])?;
            let end = after_inner.find("*/").ok_or_else(|| NotUnderstood::new("a comment without an end"))?;
            Ok(&after_inner[end + 2..])
        }
        _ => Ok(&body[end + 2..]),
    }
}

/// What stands between quotes, and what follows.
fn quoted(rest: &str, quote: char, escapes: bool) -> Result<(String, &str), NotUnderstood> {
    let mut out = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((index, c)) = chars.next() {
        if c == '\\' && escapes {
            match chars.next() {
                Some((_, '0')) => out.push('\0'),
                Some((_, 'n')) => out.push('\n'),
                Some((_, 'r')) => out.push('\r'),
                Some((_, 't')) => out.push('\t'),
                Some((_, 'b')) => out.push('\u{8}'),
                Some((_, 'Z')) => out.push('\u{1a}'),
                // For patterns: the backslash stays.
                Some((_, c @ ('%' | '_'))) => out.extend(['\\', c]),
                Some((_, c)) => out.push(c),
                None => break,
            }
        } else if c != quote {
            out.push(c);
        } else if chars.next_if(|&(_, next)| next == quote).is_some() {
            out.push(quote);
        } else {
            return Ok((out, &rest[index + quote.len_utf8()..]));
        }
    }
    Err(NotUnderstood::new("a quote without an end"))
}

/// A word, a number, or a string with something before its quote.
fn word<'a>(rest: &'a str, is_after_point: bool, session: &Session) -> Result<(Token, &'a str), NotUnderstood> {
    let end = rest.find(|c| !is_of_word(c, session)).unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    let is_prefix =
        word.starts_with('_') || (word.len() == 1 && matches!(word.as_bytes()[0] | 0x20, b'n' | b'x' | b'b'));
    let quote = after.chars().next().filter(|c| *c == '\'' || (*c == '"' && !session.has_ansi_quotes()));
    if let Some(quote) = quote.filter(|_| is_prefix) {
        let (text, after) = quoted(after, quote, !session.has_no_backslash_escapes())?;
        return Ok((Token::Text(Literal { prefix: Some(word.to_owned()), text }), after));
    }
    let is_hex = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_binary = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| matches!(byte, b'0' | b'1'));
    if word.strip_prefix("0x").is_some_and(is_hex) || word.strip_prefix("0b").is_some_and(is_binary) {
        return Ok((Token::Number(word.to_owned()), after));
    }
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_after_point || !word.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok((Token::Word(word.to_owned()), after));
    }
    // 1.5e-3: a point belongs to a number, and so does the sign of its exponent.
    let mut end = word.len();
    if is_digits(word) && after.starts_with('.') {
        end += 1;
        end += rest[end..].find(|c| !is_of_word(c, session)).unwrap_or(rest.len() - end);
    }
    let mantissa = |text: &str| is_digits(&text.replacen('.', "", 1));
    if rest[..end].strip_suffix(['e', 'E']).is_some_and(mantissa) && rest[end..].starts_with(['+', '-']) {
        end += 1;
        end += rest[end..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - end);
    }
    let is_number = match rest[..end].split_once(['e', 'E']) {
        Some((digits, exponent)) => mantissa(digits) && is_digits(exponent.trim_start_matches(['+', '-'])),
        None => mantissa(&rest[..end]),
    };
    match is_number {
        true => Ok((Token::Number(rest[..end].to_owned()), &rest[end..])),
        false => Ok((Token::Word(word.to_owned()), after)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(sql: &str, session: &Session) -> String {
        let drawn = tokens(sql, session).unwrap().into_iter().map(|token| match token {
            Token::Word(text) => text,
            Token::Number(text) => format!("#{text}"),
            Token::Name(text) => format!("`{text}`"),
            Token::Text(Literal { prefix, text }) => format!("{}'{text}'", prefix.unwrap_or_default()),
            Token::Other(c) => c.to_string(),
        });
        drawn.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn words_are_those_of_the_server() {
        let plain = Session::of_version(90_704);
        for (sql, expected) in [
            ("a`b``c`\"d\"\"e\" 'f''g\\'h\\n'", "a `b`c` 'd\"e' 'f'g'h\n'"),
            ("x'41' X\"42\" b'01' N'n' _utf8mb4'u' xy'z'", "x'41' X'42' b'01' N'n' _utf8mb4'u' xy 'z'"),
            ("1 1.5 1.5e-3 2E+1 3e4 0x41 0b1 1a .5 t.5 é$", "#1 #1.5 #1.5e-3 #2E+1 #3e4 #0x41 #0b1 1a . 5 t . 5 é$"),
            ("a -- b\nc # d\ne --f /* g */ h", "a c e - - f h"),
            ("/*!50100 a */ b /*!99999 c */ d /*! e */ /*M!100100 f */ /*!080023 i */", "a b d e i"),
            ("/*!50100 a /* in */ b */ c /*!99999 d /* in */ e */ f", "a b c f"),
            ("a/**/b", "a b"),
        ] {
            assert_eq!(words(sql, &plain), expected, "{sql}");
        }
        let modes = Session { sql_mode: Session::ANSI_QUOTES | Session::NO_BACKSLASH_ESCAPES, ..plain.clone() };
        assert_eq!(words("\"a\" 'b\\' c", &modes), "`a` 'b\\' c");
        let mut mariadb = Session::of_version(101_106);
        mariadb.server.is_mariadb = true;
        assert_eq!(
            words("/*!50100 a */ /*!50701 b */ /*M!100100 c */ /*!100301 d */ /*M!110000 e */", &mariadb),
            "a c d"
        );
        assert_eq!(words("a\u{a0}b \u{3000}c", &plain), "a\u{a0}b \u{3000}c");
        let latin1 = Session { client_charset: Some(Charset::Latin1), ..plain.clone() };
        assert_eq!(words("a\u{a0}b \u{a0}c `d\u{a0}e`", &latin1), "a b c `d\u{a0}e`");
        let cp1251 = Session { client_charset: Some(Charset::Cp1251), ..plain.clone() };
        assert_eq!(words("a\u{a0}b", &cp1251), "a\u{a0}b");
        for broken in ["'a", "`a", "/* a", "\"a\\\""] {
            assert!(tokens(broken, &plain).is_err(), "{broken}");
        }
    }
}
