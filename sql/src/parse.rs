//! Text to syntax tree, with MySQL's own precedences.
//!
//! The dialect is MySQL's as the parser knows it (back-ticks, backslash escapes, `<=>`, `DIV`, `REGEXP`) with
//! corrections: operators bind as MySQL's manual lists them, the right side of `DIV` ends where that of `/` would; and
//! `a MOD b`, `a SOUNDS LIKE b`, `BINARY x`, `CHAR(x USING utf8mb4)` and the function INTERVAL are added.

use std::any::TypeId;

use sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, ObjectName, ObjectNamePart, UnaryOperator,
};
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
        if is_sounds_like(parser) {
            return Some(Ok(self.prec_value(Precedence::Like)));
        }
        match &parser.peek_token_ref().token {
            Token::Overlap => Some(Ok(self.prec_value(Precedence::And))),
            Token::Word(word) if is_mod(word) => Some(Ok(self.prec_value(Precedence::MulDivModOp))),
            Token::Word(word) if word.keyword == Keyword::XOR => Some(Ok(self.prec_value(Precedence::Xor))),
            Token::ShiftLeft | Token::ShiftRight => Some(Ok(SHIFTS)),
            Token::Arrow | Token::LongArrow => Some(Ok(self.prec_value(Precedence::DoubleColon))),
            _ => None,
        }
    }

    /// `!` binds tighter than anything but a name, BINARY as a sign does.
    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let word = |token: &Token, name: &str| matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(name));
        let next = parser.peek_nth_token_ref(1).token.clone();
        match &parser.peek_token_ref().token {
            Token::ExclamationMark => {
                parser.advance_token();
                let operand = parser.parse_subexpr(TIGHTEST);
                Some(operand.map(|operand| Expr::UnaryOp { op: UnaryOperator::BangNot, expr: Box::new(operand) }))
            }
            token if word(token, "binary") && begins_operand(&next) => {
                parser.advance_token();
                let operand = parser.parse_subexpr(self.prec_value(Precedence::Caret));
                Some(operand.map(|operand| Expr::Cast {
                    kind: CastKind::Cast,
                    expr: Box::new(operand),
                    data_type: DataType::Binary(None),
                    array: false,
                    format: None,
                }))
            }
            token if word(token, "char") && next == Token::LParen => Some(parse_char(parser)),
            token if word(token, "interval") && next == Token::LParen && has_list(parser) => {
                let start = parser.peek_token_ref().clone();
                parser.advance_token();
                Some(parse_list(parser).map(|args| call(Ident::with_span(start.span, "interval"), args)))
            }
            _ => None,
        }
    }

    fn parse_infix(&self, parser: &mut Parser, left: &Expr, _precedence: u8) -> Option<Result<Expr, ParserError>> {
        if is_sounds_like(parser) {
            let span = parser.peek_token_ref().span;
            parser.advance_token();
            parser.advance_token();
            let right = parser.parse_subexpr(self.prec_value(Precedence::Like));
            let sound = |of: Expr| Box::new(call(Ident::with_span(span, "soundex"), vec![of]));
            return Some(right.map(|right| Expr::BinaryOp {
                left: sound(left.clone()),
                op: BinaryOperator::Eq,
                right: sound(right),
            }));
        }
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

fn is_sounds_like(parser: &Parser) -> bool {
    let is_sounds = |token: &Token| matches!(token, Token::Word(word) if word.value.eq_ignore_ascii_case("sounds"));
    let is_like = |token: &Token| matches!(token, Token::Word(word) if word.keyword == Keyword::LIKE);
    is_sounds(&parser.peek_token_ref().token) && is_like(&parser.peek_nth_token_ref(1).token)
}

/// Whether BINARY is an operator here, and not a name.
fn begins_operand(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.quote_style.is_some() || !is_infix(word.keyword),
        Token::SingleQuotedString(_) | Token::Number(..) | Token::LParen => true,
        _ => false,
    }
}

fn is_infix(keyword: Keyword) -> bool {
    use Keyword as K;
    matches!(
        keyword,
        K::AND
            | K::OR
            | K::XOR
            | K::IS
            | K::IN
            | K::LIKE
            | K::BETWEEN
            | K::DIV
            | K::NOT
            | K::REGEXP
            | K::RLIKE
            | K::AS
            | K::COLLATE
    )
}

/// Whether the parentheses behind the next word hold a list, as those of the function INTERVAL do.
fn has_list(parser: &Parser) -> bool {
    let mut depth = 0;
    for at in 1.. {
        match &parser.peek_nth_token_ref(at).token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 1 => return false,
            Token::RParen => depth -= 1,
            Token::Comma if depth == 1 => return true,
            Token::EOF => return false,
            _ => {}
        }
    }
    false
}

fn parse_list(parser: &mut Parser) -> Result<Vec<Expr>, ParserError> {
    parser.expect_token(&Token::LParen)?;
    let args = parser.parse_comma_separated(Parser::parse_expr)?;
    parser.expect_token(&Token::RParen)?;
    Ok(args)
}

/// `CHAR(a, b)`, or `CHAR(a, b USING charset)`, which is text.
fn parse_char(parser: &mut Parser) -> Result<Expr, ParserError> {
    let name = Ident::with_span(parser.peek_token_ref().span, "char");
    parser.advance_token();
    parser.expect_token(&Token::LParen)?;
    let args = parser.parse_comma_separated(Parser::parse_expr)?;
    let charset = match parser.parse_keyword(Keyword::USING) {
        true => Some(parser.parse_object_name(false)?),
        false => None,
    };
    parser.expect_token(&Token::RParen)?;
    let bytes = call(name, args);
    Ok(match charset {
        None => bytes,
        // Unlike what CONVERT makes, this text has no collation of its own: `target_before_value` tells them apart.
        charset => Expr::Convert {
            is_try: false,
            expr: Box::new(bytes),
            data_type: None,
            charset,
            target_before_value: true,
            styles: Vec::new(),
        },
    })
}

/// A call of a function with plain arguments.
fn call(name: Ident, args: Vec<Expr>) -> Expr {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
