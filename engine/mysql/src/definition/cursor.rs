//! A place among the words of a statement, and what is read everywhere.

use std::sync::Arc;

use super::super::charset::Charset;
use super::NotUnderstood;
use super::collation::{Choice, default_of, full_name};
use super::session::Session;
use super::tokens::{Literal, Token};
use tidegate_model::TableName;

pub(crate) struct Cursor<'a> {
    pub(crate) tokens: &'a [Token],
    pub(crate) next: usize,
    pub(crate) session: &'a Session,
    pub(crate) default_database: &'a str,
}

pub(crate) type Read<T> = Result<T, NotUnderstood>;

impl<'a> Cursor<'a> {
    pub(crate) fn peek(&self) -> Option<&'a Token> {
        self.peek_at(0)
    }

    pub(crate) fn peek_at(&self, ahead: usize) -> Option<&'a Token> {
        self.tokens.get(self.next + ahead)
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.next >= self.tokens.len()
    }

    pub(crate) fn is(&self, word: &str) -> bool {
        self.peek().is_some_and(|token| token.is(word))
    }

    /// Whether these words come next.
    pub(crate) fn are(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(ahead, word)| self.peek_at(ahead).is_some_and(|token| token.is(word)))
    }

    pub(crate) fn skip(&mut self, word: &str) -> bool {
        self.skip_all(&[word])
    }

    pub(crate) fn skip_all(&mut self, words: &[&str]) -> bool {
        let found = self.are(words);
        self.next += if found { words.len() } else { 0 };
        found
    }

    pub(crate) fn skip_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.skip(word))
    }

    pub(crate) fn is_other(&self, c: char) -> bool {
        self.peek() == Some(&Token::Other(c))
    }

    pub(crate) fn skip_other(&mut self, c: char) -> bool {
        let found = self.is_other(c);
        self.next += usize::from(found);
        found
    }

    pub(crate) fn expect_other(&mut self, c: char) -> Read<()> {
        if self.skip_other(c) { Ok(()) } else { Err(self.not_understood()) }
    }

    pub(crate) fn expect(&mut self, word: &str) -> Read<()> {
        if self.skip(word) { Ok(()) } else { Err(self.not_understood()) }
    }

    /// Names the word at which reading ends, and no value.
    pub(crate) fn not_understood(&self) -> NotUnderstood {
        match self.peek() {
            Some(Token::Word(word) | Token::Name(word)) => NotUnderstood::new(&format!("`{word}` where it stands")),
            Some(Token::Other(c)) => NotUnderstood::new(&format!("`{c}` where it stands")),
            Some(Token::Number(_) | Token::Text(_)) => NotUnderstood::new("a literal where it stands"),
            None => NotUnderstood::new("its end"),
        }
    }

    /// A name, quoted or not.
    pub(crate) fn name(&mut self) -> Read<String> {
        match self.peek() {
            Some(Token::Word(text) | Token::Name(text)) => {
                self.next += 1;
                Ok(text.clone())
            }
            _ => Err(self.not_understood()),
        }
    }

    pub(crate) fn table_name(&mut self) -> Read<TableName> {
        let first = self.name()?;
        match self.skip_other('.') {
            true => Ok(TableName::new(&first, &self.name()?)),
            false => Ok(TableName::new(self.default_database, &first)),
        }
    }

    pub(crate) fn if_exists(&mut self) -> bool {
        self.skip_all(&["IF", "EXISTS"])
    }

    pub(crate) fn if_not_exists(&mut self) -> bool {
        self.skip_all(&["IF", "NOT", "EXISTS"])
    }

    /// `(10)`, `(10, 2)`, or nothing.
    pub(crate) fn numbers(&mut self) -> Read<Vec<u64>> {
        let mut out = Vec::new();
        if !self.skip_other('(') {
            return Ok(out);
        }
        loop {
            let Some(Token::Number(digits)) = self.peek() else { return Err(self.not_understood()) };
            out.push(digits.parse().map_err(|_| self.not_understood())?);
            self.next += 1;
            if !self.skip_other(',') {
                self.expect_other(')')?;
                return Ok(out);
            }
        }
    }

    /// Whatever stands in parentheses, which come next.
    pub(crate) fn parentheses(&mut self) -> Read<()> {
        if !self.is_other('(') {
            return Err(self.not_understood());
        }
        let mut depth = 0;
        while let Some(token) = self.peek() {
            self.next += 1;
            match token {
                Token::Other('(') => depth += 1,
                Token::Other(')') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
        Err(self.not_understood())
    }

    /// Up to the comma or the parenthesis that ends a part, or the end.
    pub(crate) fn rest_of_part(&mut self) -> Read<()> {
        while let Some(token) = self.peek() {
            match token {
                Token::Other(',' | ')') => return Ok(()),
                Token::Other('(') => self.parentheses()?,
                _ => self.next += 1,
            }
        }
        Ok(())
    }

    pub(crate) fn rest(&mut self) {
        self.next = self.tokens.len();
    }

    /// A string, or something that has no other meaning where a string may stand.
    pub(crate) fn text(&mut self) -> Read<()> {
        match self.peek() {
            Some(Token::Text(_)) => {
                self.next += 1;
                Ok(())
            }
            _ => Err(self.not_understood()),
        }
    }

    /// `[DEFAULT] CHARACTER SET [=] x`, or nothing. A column has neither the first word nor the sign.
    pub(crate) fn table_charset(&mut self) -> Read<Option<Choice>> {
        let start = self.next;
        self.skip("DEFAULT");
        if self.skip_charset_words() {
            self.skip_other('=');
            if self.skip("DEFAULT") {
                return Ok(Some(Choice::Inherited));
            }
            let charset = self.charset_name()?;
            return Ok(Some(Choice::Named(charset, default_of(charset, self.session))));
        }
        if self.skip("COLLATE") {
            self.skip_other('=');
            if self.skip("DEFAULT") {
                // MySQL, before it refused these words, took them for all that is said of text. MariaDB takes the order that a set has by
                // itself, of whatever set is said before or behind.
                return match self.session.server.is_mariadb {
                    true => Err(NotUnderstood::new("COLLATE DEFAULT")),
                    false => Ok(Some(Choice::Inherited)),
                };
            }
            return Ok(Some(match self.collation()? {
                (Some(charset), name) => Choice::Named(charset, full_name(name, Some(charset), self.session)),
                (None, name) => Choice::Ordered(name.to_owned()),
            }));
        }
        self.next = start;
        Ok(None)
    }

    /// Behind ENGINE: what it is called, if that can be read.
    pub(crate) fn engine(&mut self) -> Option<Arc<str>> {
        self.skip_other('=');
        match self.peek() {
            Some(Token::Word(text) | Token::Name(text) | Token::Text(Literal { prefix: None, text })) => {
                self.next += 1;
                Some(text.as_str().into())
            }
            _ => None,
        }
    }

    pub(crate) fn skip_charset_words(&mut self) -> bool {
        self.skip_all(&["CHARACTER", "SET"]) || self.skip_all(&["CHAR", "SET"]) || self.skip("CHARSET")
    }

    pub(crate) fn charset_name(&mut self) -> Read<Charset> {
        let name = match self.peek() {
            Some(Token::Word(text) | Token::Name(text) | Token::Text(Literal { prefix: None, text })) => text,
            _ => return Err(self.not_understood()),
        };
        let charset =
            Charset::from_name(name).ok_or_else(|| NotUnderstood::new(&format!("the character set {name}")))?;
        self.next += 1;
        Ok(charset)
    }

    /// A collation, and its character set; none for one of MariaDB's that fit several.
    pub(crate) fn collation(&mut self) -> Read<(Option<Charset>, &'a str)> {
        let name = match self.peek() {
            Some(Token::Word(text) | Token::Name(text) | Token::Text(Literal { prefix: None, text })) => text,
            _ => return Err(self.not_understood()),
        };
        let charset = Charset::from_name(name.split('_').next().unwrap_or(name));
        if charset.is_none() && !(self.session.server.is_mariadb && name.to_ascii_lowercase().starts_with("uca")) {
            return Err(NotUnderstood::new(&format!("the collation {name}")));
        }
        self.next += 1;
        Ok((charset, name))
    }
}
