//! Text to syntax tree, with MySQL's own precedences.
//!
//! The dialect is MySQL's as the parser knows it (back-ticks, backslash escapes, `<=>`, `DIV`, `REGEXP`) with
//! corrections: operators bind as MySQL's manual lists them, the right side of `DIV` ends where that of `/` would; and
//! `a MOD b` is added.

use std::any::TypeId;

use sqlparser::ast::{BinaryOperator, Expr, Ident, UnaryOperator};
use sqlparser::dialect::{Dialect, MySqlDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Span, Token, Word};

use crate::error::{Refusal, SqlError, from_parser};

/// How many operators may stand in a row or in each other. A chain of ORs is a tree as deep as it is long.
pub(crate) const DEPTH_MAX: usize = 128;

/// How deep parentheses, function calls and CASE may nest.
const NESTING_MAX: usize = 50;

/// How tight `<<` and `>>` bind.
const SHIFTS: u8 = 25;

/// Tighter than any operator.
const TIGHTEST: u8 = 60;

/// `expr` and nothing after it.
pub(crate) fn expression(text: &str) -> Result<Expr, SqlError> {
    let (expr, alias) = parse(text, false)?;
    debug_assert!(alias.is_none());
    Ok(expr)
}

/// `expr` or `expr AS alias`, and nothing after it.
pub(crate) fn item(text: &str) -> Result<(Expr, Option<Ident>), SqlError> {
    parse(text, true)
}

fn parse(text: &str, with_alias: bool) -> Result<(Expr, Option<Ident>), SqlError> {
    let parse = || {
        let mut parser = Parser::new(&MySql).with_recursion_limit(NESTING_MAX).try_with_sql(text)?;
        let expr = parser.parse_expr()?;
        let alias = match with_alias && parser.parse_keyword(Keyword::AS) {
            true => Some(parser.parse_identifier()?),
            false => None,
        };
        if parser.peek_token_ref().token != Token::EOF {
            return parser.expected_ref("the end of the expression", parser.peek_token_ref());
        }
        Ok((expr, alias))
    };
    let (expr, alias) = parse().map_err(|error| match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => from_parser(&message, text),
        ParserError::RecursionLimitExceeded => {
            SqlError::general(text, format!("the expression nests more than {NESTING_MAX} deep"))
        }
    })?;
    if chain_length(&expr) > DEPTH_MAX {
        unchain(expr);
        return Err(SqlError::general(text, format!("more than {DEPTH_MAX} operators in a row"))
            .with_hint("Write a IN (1, 2, 3) for a = 1 OR a = 2 OR a = 3."));
    }
    if let Some(alias) = &alias
        && matches!(alias.quote_style, Some('"' | '\''))
    {
        return Err(double_quotes(alias.span).into_error(text));
    }
    Ok((expr, alias))
}

/// How far the tree leans to the left. The parser limits every other depth.
fn chain_length(mut expr: &Expr) -> usize {
    let mut length = 0;
    while let Expr::BinaryOp { left, .. } = expr {
        expr = left;
        length += 1;
    }
    length
}

/// Drops a long chain link by link: dropped as a tree, a long enough one would overflow the stack.
fn unchain(mut expr: Expr) {
    while let Expr::BinaryOp { left, .. } = expr {
        expr = *left;
    }
}

/// Text for MySQL, a name for most others.
pub(crate) fn double_quotes(span: Span) -> Refusal {
    Refusal::new(span, "double quotes are text in MySQL and names elsewhere")
        .hint("Write `name` for a column and 'text' for text.")
}

#[derive(Debug)]
struct MySql;

impl Dialect for MySql {
    fn dialect(&self) -> TypeId {
        TypeId::of::<MySqlDialect>()
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        MySqlDialect {}.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        MySqlDialect {}.is_identifier_part(ch)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('`')
    }

    fn supports_string_literal_backslash_escape(&self) -> bool {
        true
    }

    fn ignores_wildcard_escapes(&self) -> bool {
        true
    }

    fn supports_double_ampersand_operator(&self) -> bool {
        true
    }

    fn supports_data_type_signed_suffix(&self) -> bool {
        true
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }

    fn requires_single_line_comment_whitespace(&self) -> bool {
        true
    }

    fn require_interval_qualifier(&self) -> bool {
        true
    }

    fn supports_bang_not_operator(&self) -> bool {
        true
    }

    /// From the tightest to the loosest: `^`, `*`, `+`, `<<`, `&`, `|`, LIKE and the like, comparisons, NOT, AND, XOR, OR.
    fn prec_value(&self, precedence: Precedence) -> u8 {
        match precedence {
            Precedence::Period => 100,
            Precedence::DoubleColon => 50,
            Precedence::Caret => 45,
            Precedence::AtTz => 41,
            Precedence::MulDivModOp => 40,
            Precedence::PlusMinus => 30,
            Precedence::Ampersand => SHIFTS - 1,
            Precedence::Pipe | Precedence::Colon => SHIFTS - 2,
            Precedence::Between | Precedence::Like => 21,
            Precedence::Eq | Precedence::Is => 20,
            Precedence::PgOther => 16,
            Precedence::UnaryNot => 15,
            Precedence::And => 10,
            Precedence::Xor => 7,
            Precedence::Or => 5,
        }
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        match &parser.peek_token_ref().token {
            Token::Overlap => Some(Ok(self.prec_value(Precedence::And))),
            Token::Word(word) if is_mod(word) => Some(Ok(self.prec_value(Precedence::MulDivModOp))),
            Token::Word(word) if word.keyword == Keyword::XOR => Some(Ok(self.prec_value(Precedence::Xor))),
            Token::ShiftLeft | Token::ShiftRight => Some(Ok(SHIFTS)),
            Token::Arrow | Token::LongArrow => Some(Ok(self.prec_value(Precedence::DoubleColon))),
            _ => None,
        }
    }

    /// `!` binds tighter than anything but a name.
    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        if parser.peek_token_ref().token != Token::ExclamationMark {
            return None;
        }
        parser.advance_token();
        let operand = parser.parse_subexpr(TIGHTEST);
        Some(operand.map(|operand| Expr::UnaryOp { op: UnaryOperator::BangNot, expr: Box::new(operand) }))
    }

    fn parse_infix(&self, parser: &mut Parser, left: &Expr, _precedence: u8) -> Option<Result<Expr, ParserError>> {
        let op = match &parser.peek_token_ref().token {
            Token::Word(word) if word.keyword == Keyword::DIV => BinaryOperator::MyIntegerDivide,
            Token::Word(word) if is_mod(word) => BinaryOperator::Modulo,
            _ => return None,
        };
        parser.advance_token();
        let right = parser.parse_subexpr(self.prec_value(Precedence::MulDivModOp));
        Some(right.map(|right| Expr::BinaryOp { left: Box::new(left.clone()), op, right: Box::new(right) }))
    }
}

fn is_mod(word: &Word) -> bool {
    word.quote_style.is_none() && word.value.eq_ignore_ascii_case("mod")
}
