//! Comparisons and choices: which operand says how the others are read.

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::expr::{Case, InList, Like};
use datafusion_expr::{Expr, Operator};
use sqlparser::ast::{self, Expr as Ast, Spanned, Value};
use sqlparser::tokenizer::Span;

use super::{Class, FromLiteral, Lower, Lowered, binary, cast_to, convert_literal, is_null, micros};
use crate::error::Refusal;
use crate::{Kind, types};

/// What a YEAR can be, but for 0.
const YEARS: std::ops::RangeInclusive<i64> = 1901..=2155;

/// Doubles hold so many digits.
const DOUBLE_DIGITS: usize = 15;
/// Doubles hold all integers below 2^53.
const DOUBLE_INTEGERS: f64 = 9_007_199_254_740_992.0;

/// A text with a fraction beside integers of 64 bits: both are doubles to MySQL, and are told apart by few digits only.
fn refuse_long_fraction(literal: &Expr, beside: &DataType, ast: &Ast) -> Result<(), Refusal> {
    let precision = match literal {
        Expr::Literal(ScalarValue::Decimal128(_, precision, _) | ScalarValue::Decimal256(_, precision, _), _) => {
            usize::from(*precision)
        }
        _ => return Ok(()),
    };
    match matches!(beside, DataType::Int64 | DataType::UInt64) && precision > DOUBLE_DIGITS {
        true => Err(Refusal::new(ast.span(), "beside this text, an integer compares as a DOUBLE")
            .hint("Write the number without quotes.")),
        false => Ok(()),
    }
}

/// Beside decimals with more digits than a double holds, servers read a number in quotes as a decimal or as a double.
fn refuse_text_beside_long_decimal(beside: &DataType, ast: &Ast) -> Result<(), Refusal> {
    match beside {
        DataType::Decimal128(precision, _) | DataType::Decimal256(precision, _)
            if usize::from(*precision) > DOUBLE_DIGITS =>
        {
            let message =
                format!("beside {}, a number in quotes is read in more than one way", types::mysql_name(beside));
            Err(Refusal::new(ast.span(), message).hint("Write the number without quotes."))
        }
        _ => Ok(()),
    }
}

fn digits(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}

fn significant_digits(value: f64) -> usize {
    let text = format!("{value:e}");
    digits(text.split('e').next().unwrap_or_default())
}

pub(super) fn is_cast(ast: &Ast) -> bool {
    match ast {
        Ast::Nested(inner) => is_cast(inner),
        Ast::Cast { .. } | Ast::Convert { .. } => true,
        _ => false,
    }
}

/// Whether it is a literal as it stands in the text.
fn is_written(ast: &Ast) -> bool {
    match ast {
        Ast::Nested(inner) => is_written(inner),
        Ast::TypedString(_) | Ast::Value(_) => true,
        _ => false,
    }
}

impl Lower<'_> {
    /// Lowers expressions that will be compared with each other, and makes their types agree.
    ///
    /// A text literal beside a number, date, time or binary value is read as one. Text that is not a literal is not:
    /// MySQL would compare as floating point numbers, DataFusion as text.
    pub(super) fn comparable(&self, asts: &[&Ast]) -> Result<Vec<Expr>, Refusal> {
        let mut exprs = self.of_one_kind(asts)?;
        self.as_one_number(&mut exprs)?;
        Ok(exprs)
    }

    /// As [`Lower::comparable`], for what compares one of them with each of the others: numbers stay what they are.
    pub(super) fn of_one_kind(&self, asts: &[&Ast]) -> Result<Vec<Expr>, Refusal> {
        let mut exprs = asts.iter().map(|ast| self.lower(ast)).collect::<Result<Vec<Expr>, Refusal>>()?;
        self.labels_beside_numbers(&mut exprs)?;
        for expr in &mut exprs {
            // Servers take what is chosen among constants for one, too.
            let is_constant = !matches!(expr, Expr::Literal(..)) && expr.column_refs().is_empty();
            let class = self.class(expr)?;
            if is_constant && (class.is_number() || matches!(class, Class::Time | Class::Condition)) {
                let simple = self.planner.simplify(expr.clone())?;
                *expr = Expr::from_literal(self.planner.evaluate_constant(&simple)?);
            }
        }
        let mut classes = exprs.iter().map(|expr| self.class(expr)).collect::<Result<Vec<Class>, Refusal>>()?;
        if classes.contains(&Class::Binary) {
            self.refuse_bytes_read_as_text(&exprs, &classes, asts)?;
            // Beside bytes, text is its own bytes.
            for ((expr, class), ast) in exprs.iter_mut().zip(&mut classes).zip(asts) {
                if *class == Class::Text && !matches!(expr, Expr::Literal(..)) {
                    let bytes = self.as_bytes(expr.clone(), ast.span())?;
                    (*expr, *class) = (self.opaque(cast_to(bytes, DataType::Binary))?, Class::Binary);
                }
            }
        }

        if let Some(at) = classes.iter().position(|class| *class == Class::Json) {
            return Err(Refusal::new(asts[at].span(), "JSON is not compared: its text does not say what MySQL stores")
                .hint("Write x->>'$.path' for its text, CAST(x->>'$.path' AS SIGNED) for a number."));
        }
        if classes.iter().any(|class| class.is_number()) {
            // A condition is 1 or 0 beside a number.
            for (expr, class) in exprs.iter_mut().zip(&mut classes) {
                if *class == Class::Condition && !matches!(expr, Expr::Literal(..)) {
                    (*expr, *class) = (self.finish(cast_to(expr.clone(), DataType::Int64))?, Class::Integer);
                }
            }
        }
        let Some(anchor) = (0..exprs.len()).min_by_key(|at| self.vagueness(&exprs[*at])) else { return Ok(exprs) };
        let anchor_type = self.type_of(&exprs[anchor])?;
        let anchor_class = classes[anchor];
        self.refuse_two_digit_years(&exprs, asts)?;

        let is_computed_time =
            |at: usize| classes[at] == Class::Time && !matches!(exprs[at], Expr::Column(_)) && !is_written(asts[at]);
        if (0..exprs.len()).any(is_computed_time)
            && let Some(at) = classes.iter().position(|class| *class == Class::Text)
        {
            return Err(Refusal::new(asts[at].span(), "beside this text, a TIME that is computed compares as text")
                .hint("Write maketime(23, 59, 59)."));
        }

        let is_computed = |expr: &Expr| !matches!(expr, Expr::Column(_) | Expr::Literal(..));
        if matches!(anchor_class, Class::Integer | Class::Decimal) && exprs.iter().any(is_computed) {
            for (expr, ast) in exprs.iter().zip(asts) {
                let is_long = |text: &str| digits(text) > DOUBLE_DIGITS;
                if crate::text::literal_text(expr).is_some_and(is_long) {
                    return Err(Refusal::new(
                        ast.span(),
                        "beside this text, a number that is computed compares as a DOUBLE",
                    )
                    .hint("Write the number without quotes."));
                }
            }
        }

        for at in 0..exprs.len() {
            if let Expr::Literal(value, _) = &exprs[at]
                && let Some(converted) = convert_literal(value, &anchor_type, asts[at].span())?
            {
                let was_text = crate::text::literal_text(&exprs[at]).is_some();
                exprs[at] = Expr::from_literal(converted);
                if was_text {
                    refuse_long_fraction(&exprs[at], &anchor_type, asts[at])?;
                    refuse_text_beside_long_decimal(&anchor_type, asts[at])?;
                }
                classes[at] = self.class(&exprs[at])?;
            }
            let fits = match (anchor_class, classes[at]) {
                (_, Class::Null) | (Class::Null, _) => true,
                (a, b) if a.is_number() && b.is_number() => true,
                (a, b) if a.is_temporal() && b.is_temporal() => true,
                (a, b) => a == b && !matches!(a, Class::Other | Class::Interval | Class::Json),
            };
            if !fits {
                let message = format!(
                    "{} does not compare with {}",
                    types::mysql_name(&anchor_type),
                    self.name_of_type(&exprs[at])?
                );
                return Err(Refusal::new(asts[at].span(), message).hint("Write CAST(x AS type) to say how to compare."));
            }
        }

        self.refuse_inexact_doubles(&exprs, asts)?;
        self.refuse_longer_times(&exprs, asts)?;

        let mut timestamps = exprs.iter().zip(asts).filter(|(expr, _)| !matches!(expr, Expr::Literal(..)));
        let mut timestamp_type: Option<DataType> = None;
        for (expr, ast) in &mut timestamps {
            let data_type = self.type_of(expr)?;
            if matches!(data_type, DataType::Timestamp(..))
                && *timestamp_type.get_or_insert_with(|| data_type.clone()) != data_type
            {
                return Err(Refusal::new(
                    ast.span(),
                    "how DATETIME and TIMESTAMP compare depends on the session's zone",
                )
                .hint("Write CAST(x AS DATETIME) for the TIMESTAMP, which gives UTC."));
            }
        }
        if classes.contains(&Class::Date) && classes.contains(&Class::Timestamp) {
            let timestamp_type = timestamp_type.unwrap_or(micros(None));
            for (expr, class) in exprs.iter_mut().zip(&classes) {
                if *class == Class::Date {
                    let midnight = self.at_midnight(self.chosen(expr.clone())?)?;
                    *expr = match self.type_of(&midnight)? == timestamp_type {
                        true => midnight,
                        false => self.finish(cast_to(midnight, timestamp_type.clone()))?,
                    };
                }
            }
        }
        Ok(exprs)
    }

    /// Bytes that are written, or computed of such, are text of the column's collation beside a text; those of a column and of CAST are not.
    fn refuse_bytes_read_as_text(&self, exprs: &[Expr], classes: &[Class], asts: &[&Ast]) -> Result<(), Refusal> {
        let is_text = |(expr, class): (&Expr, &Class)| *class == Class::Text && !matches!(expr, Expr::Literal(..));
        if !exprs.iter().zip(classes).any(is_text) {
            return Ok(());
        }
        for ((expr, class), ast) in exprs.iter().zip(classes).zip(asts) {
            if *class == Class::Binary && expr.column_refs().is_empty() && !is_cast(ast) && !is_null(expr) {
                return Err(Refusal::new(
                    ast.span(),
                    "beside text, bytes that are written compare by the text's collation",
                )
                .hint("Write 'abc' to compare as text, CAST(x AS BINARY) of the text to compare as bytes."));
            }
        }
        Ok(())
    }

    /// A DOUBLE that is written beside exact numbers: MySQL makes it one of their type where that can be, or makes doubles of them. Both are the
    /// same only where a double holds all that the type does.
    fn refuse_inexact_doubles(&self, exprs: &[Expr], asts: &[&Ast]) -> Result<(), Refusal> {
        for (expr, ast) in exprs.iter().zip(asts) {
            let Expr::Literal(ScalarValue::Float64(Some(value)), _) = expr else { continue };
            for beside in exprs.iter().filter(|beside| !matches!(beside, Expr::Literal(..))) {
                let is_exact = match self.type_of(beside)? {
                    DataType::Int64 | DataType::UInt64 => value.abs() < DOUBLE_INTEGERS,
                    DataType::Decimal128(precision, _) | DataType::Decimal256(precision, _) => {
                        usize::from(precision) <= DOUBLE_DIGITS && significant_digits(*value) <= DOUBLE_DIGITS
                    }
                    _ => true,
                };
                if !is_exact {
                    let message =
                        format!("beside {}, a DOUBLE is read in more than one way", self.name_of_type(beside)?);
                    return Err(Refusal::new(ast.span(), message)
                        .hint(format!("Write the number without an exponent and without quotes: {value}.")));
                }
            }
        }
        Ok(())
    }

    /// BETWEEN and CASE: beside integers of 64 bits, texts of many digits, or a text and a number, are doubles to servers.
    pub(super) fn refuse_texts_beside_long_integers(&self, asts: &[&Ast], are_one: bool) -> Result<(), Refusal> {
        let exprs = asts.iter().map(|ast| self.lower(ast)).collect::<Result<Vec<Expr>, Refusal>>()?;
        let mut is_long = false;
        for expr in exprs.iter().filter(|expr| !matches!(expr, Expr::Literal(..))) {
            is_long |= matches!(self.type_of(expr)?, DataType::Int64 | DataType::UInt64);
        }
        let is_number = |expr: &Expr| {
            matches!(expr, Expr::Literal(..)) && !is_null(expr) && crate::text::literal_text(expr).is_none()
        };
        let is_mixed = are_one && exprs.iter().any(is_number);
        for (expr, ast) in exprs.iter().zip(asts) {
            let Some(text) = crate::text::literal_text(expr).filter(|_| is_long) else { continue };
            if is_mixed || digits(text) > DOUBLE_DIGITS {
                return Err(Refusal::new(ast.span(), "beside this text, an integer compares as a DOUBLE")
                    .hint("Write the number without quotes."));
            }
        }
        Ok(())
    }

    /// A constant with more digits of a second than the TIME column beside it: some servers round it first, some do not.
    fn refuse_longer_times(&self, exprs: &[Expr], asts: &[&Ast]) -> Result<(), Refusal> {
        for column in exprs.iter().filter(|expr| matches!(expr, Expr::Column(_))) {
            let Some(digits) = self.shown_fraction(column).filter(|digits| *digits < 6) else { continue };
            for (expr, ast) in exprs.iter().zip(asts) {
                if let Expr::Literal(ScalarValue::DurationMicrosecond(Some(micros)), _) = expr
                    && micros % 10_i64.pow(6 - u32::from(digits)) != 0
                {
                    let message = format!("a TIME({digits}) is compared with a time of more digits");
                    return Err(
                        Refusal::new(ast.span(), message).hint("Round it: some servers do that, and some do not.")
                    );
                }
            }
        }
        Ok(())
    }

    /// Numbers beside a double are doubles.
    pub(super) fn as_one_number(&self, exprs: &mut [Expr]) -> Result<(), Refusal> {
        let classes = exprs.iter().map(|expr| self.class(expr)).collect::<Result<Vec<Class>, Refusal>>()?;
        if classes.contains(&Class::Float) {
            for (expr, class) in exprs.iter_mut().zip(classes) {
                match class {
                    Class::Float => *expr = self.without_negative_zero(expr.clone())?,
                    class if class.is_number() => *expr = self.double(expr.clone())?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// A YEAR beside 0 to 99 means the year 2000 or 1970 in one comparison and the number in another; beside what no YEAR can be, WHERE
    /// may say something else than SELECT.
    fn refuse_two_digit_years(&self, exprs: &[Expr], asts: &[&Ast]) -> Result<(), Refusal> {
        if !exprs.iter().any(|expr| self.source_kind(expr) == Kind::Year) {
            return Ok(());
        }
        for (expr, ast) in exprs.iter().zip(asts) {
            let four_digits = match expr {
                Expr::Literal(ScalarValue::Int64(Some(year)), _) => YEARS.contains(year),
                Expr::Literal(ScalarValue::Utf8(Some(year)), _) => {
                    year.len() == 4 && year.parse().is_ok_and(|year| YEARS.contains(&year))
                }
                Expr::Literal(..) => false,
                _ => true,
            };
            if !four_digits && !is_null(expr) {
                return Err(Refusal::new(ast.span(), "a YEAR is compared with a year from 1901 to 2155")
                    .hint("Write x + 0 to compare it as a number."));
            }
        }
        Ok(())
    }

    /// IN: a set where everything that is looked among is a literal, else `a = b OR a = c`. Doubles and exact numbers beside each
    /// other compare pair by pair.
    pub(super) fn in_list(&self, value: Expr, list: Vec<Expr>, negated: bool, span: Span) -> Lowered {
        let mut all: Vec<Expr> = std::iter::once(value).chain(list).collect();
        let classes = all.iter().map(|expr| self.class(expr)).collect::<Result<Vec<Class>, Refusal>>()?;
        let mixed = classes.contains(&Class::Float)
            && classes.iter().any(|class| matches!(class, Class::Decimal | Class::Integer));
        if !mixed && all[1..].iter().all(|item| matches!(item, Expr::Literal(..))) {
            self.as_one_number(&mut all)?;
            let value = all.remove(0);
            return Ok(Expr::InList(InList::new(Box::new(value), all, negated)));
        }
        let value = all.remove(0);
        let equal = self.equals_each(&value, all, span)?.into_iter();
        let any = equal.reduce(|any, equal| binary(any, Operator::Or, equal)).expect("a list has items");
        Ok(if negated { Expr::Not(Box::new(any)) } else { any })
    }

    /// IN: MySQL reads '1.5' and '1e3' as 1 beside an integer that is computed, and as numbers beside a column.
    pub(super) fn refuse_texts_beside_integer(&self, value: &Expr, list: &[Ast]) -> Result<(), Refusal> {
        let is_whole = match self.type_of(value)? {
            DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => scale == 0,
            data_type => types::plain(&data_type).is_integer(),
        };
        for ast in list {
            if let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = self.lower(ast)? {
                let text = text.trim_matches(' ');
                let digits = text.strip_prefix('-').unwrap_or(text);
                if is_whole && (digits.len() > DOUBLE_DIGITS || digits.bytes().any(|byte| !byte.is_ascii_digit())) {
                    return Err(Refusal::new(ast.span(), "an integer is looked for among texts that are none")
                        .hint("Write numbers without quotes."));
                }
            }
        }
        Ok(())
    }

    /// IN of BIGINT UNSIGNED among signed integers: MySQL 9.7 finds -1 for 18446744073709551615.
    pub(super) fn refuse_signs_mixed_in(&self, exprs: &[Expr], span: Span) -> Result<(), Refusal> {
        let mut unsigned = false;
        let mut signed = false;
        for expr in exprs {
            match (expr, self.type_of(expr)?) {
                (Expr::Literal(ScalarValue::Int64(Some(0..)) | ScalarValue::Null, _), _) => {}
                (_, DataType::UInt64) => unsigned = true,
                (_, data_type) if data_type.is_signed_integer() => signed = true,
                _ => {}
            }
        }
        match unsigned && signed {
            true => Err(Refusal::new(span, "signed integers and BIGINT UNSIGNED are looked for among each other")
                .hint("Write a = b OR a = c.")),
            false => Ok(()),
        }
    }

    /// `(a, b) = (c, d)` and the like, member by member.
    pub(super) fn compare_rows(&self, left: &[Ast], op: Operator, right: &[Ast], span: Span) -> Lowered {
        if left.len() != right.len() || left.is_empty() {
            return Err(Refusal::new(span, "rows of different lengths do not compare"));
        }
        let member = |at: usize, op: Operator| -> Lowered {
            let exprs = self.comparable(&[&left[at], &right[at]])?;
            self.refuse_signs_mixed_in(&exprs, span)?;
            let [left, right] = exprs.try_into().expect("two expressions stay two");
            self.finish(self.compare(left, op, right, span)?)
        };
        let last = left.len() - 1;
        match op {
            Operator::Eq | Operator::IsNotDistinctFrom => {
                (0..last).rev().try_fold(member(last, op)?, |all, at| Ok(binary(member(at, op)?, Operator::And, all)))
            }
            Operator::NotEq => {
                (0..last).rev().try_fold(member(last, op)?, |any, at| Ok(binary(member(at, op)?, Operator::Or, any)))
            }
            // The first member that differs decides: a < c OR (a = c AND b < d).
            _ => {
                let strictly = match op {
                    Operator::Lt | Operator::LtEq => Operator::Lt,
                    _ => Operator::Gt,
                };
                (0..last).rev().try_fold(member(last, op)?, |rest, at| {
                    let same = binary(member(at, Operator::Eq)?, Operator::And, rest);
                    Ok(binary(member(at, strictly)?, Operator::Or, same))
                })
            }
        }
    }

    /// `(a, b) IN ((c, d), …)`.
    pub(super) fn row_in(&self, row: &[Ast], list: &[Ast], negated: bool, span: Span) -> Lowered {
        let mut any: Option<Expr> = None;
        for item in list {
            let Some(other) = super::row(item) else {
                return Err(Refusal::new(item.span(), "a row is looked for among rows"));
            };
            for (member, left) in other.iter().zip(row).filter(|_| list.len() > 1) {
                self.refuse_what_is_read_as_integer(member, left)?;
                // MySQL 9.7 compares a literal with a text of one row by the collation of another row.
                let expr = self.lower(member)?;
                if self.class(&expr)? == Class::Text && crate::text::literal_text(&expr).is_none() {
                    return Err(Refusal::new(member.span(), "in rows that are looked among, texts are literals")
                        .hint("Write (a, b) = (c, d) OR …."));
                }
            }
            let equal = self.compare_rows(row, Operator::Eq, other, span)?;
            any = Some(match any {
                Some(any) => binary(any, Operator::Or, equal),
                None => equal,
            });
        }
        let any = any.ok_or_else(|| Refusal::new(span, "nothing is in an empty list"))?;
        Ok(if negated { Expr::Not(Box::new(any)) } else { any })
    }

    /// Rows that are looked for among several: MySQL reads what stands beside an integer as one first, 1.4 as 1.
    fn refuse_what_is_read_as_integer(&self, member: &Ast, beside: &Ast) -> Result<(), Refusal> {
        let expr = self.lower(member)?;
        let is_whole = match self.type_of(&expr)? {
            DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => scale == 0,
            DataType::Null => true,
            data_type => types::plain(&data_type).is_integer() || data_type == DataType::Boolean,
        };
        match self.class(&self.lower(beside)?)? == Class::Integer && !is_whole {
            true => Err(Refusal::new(member.span(), "beside an integer of a row, it is read as one")
                .hint("Write (a, b) = (c, d) OR ….")),
            false => Ok(()),
        }
    }

    /// Makes the types of expressions agree of which one will be the result, such as the branches of CASE.
    pub(super) fn alike(&self, exprs: &mut [Expr], spans: &[Span]) -> Result<(), Refusal> {
        let Some(anchor) = (0..exprs.len()).min_by_key(|at| self.vagueness(&exprs[*at])) else { return Ok(()) };
        let anchor_type = self.type_of(&exprs[anchor])?;
        let anchor_class = self.class(&exprs[anchor])?;
        for (expr, span) in exprs.iter_mut().zip(spans) {
            self.refuse_bit_as_choice(expr, *span)?;
            if let Expr::Literal(value, _) = &expr {
                // What is chosen would be text in MySQL, and compare as text: ifnull(10, '0') < '9'.
                if matches!(value, ScalarValue::Utf8(Some(_))) && !matches!(anchor_class, Class::Text | Class::Binary) {
                    let message = format!("{} and text are mixed", types::mysql_name(&anchor_type));
                    return Err(Refusal::new(*span, message).hint(match anchor_class {
                        Class::Date => "Write DATE '2024-02-29', or CAST(x AS CHAR) for the others.",
                        Class::Timestamp => "Write TIMESTAMP '2024-02-29 23:59:59', or CAST(x AS CHAR) for the others.",
                        Class::Time => "Write maketime(23, 59, 59), or CAST(x AS CHAR) for the others.",
                        _ => "Write the number without quotes, or CAST(x AS CHAR) for the others.",
                    }));
                }
                if let Some(converted) = convert_literal(value, &anchor_type, *span)? {
                    *expr = Expr::from_literal(converted);
                }
            }
            let class = self.class(expr)?;
            let fits = match (anchor_class, class) {
                (_, Class::Null) | (Class::Null, _) => true,
                (a, b) if a.is_number() && b.is_number() => true,
                // A hidden conversion of DATE to DATETIME would meet dates that do not exist.
                (Class::Timestamp, Class::Timestamp) => self.type_of(expr)? == anchor_type,
                (a, b) => a == b,
            };
            if !fits {
                let message = format!("{} and {} are mixed", types::mysql_name(&anchor_type), self.name_of_type(expr)?);
                return Err(Refusal::new(*span, message).hint("Write CAST(x AS type)."));
            }
        }
        let numbers: Vec<usize> =
            (0..exprs.len()).filter(|at| matches!(self.class(&exprs[*at]), Ok(class) if class.is_number())).collect();
        let mut types = Vec::new();
        for at in &numbers {
            types.push(self.type_of(&exprs[*at])?);
        }
        if types.iter().any(|data_type| *data_type != types[0]) {
            let any_double = types.iter().any(DataType::is_floating);
            let operands: Vec<Expr> = numbers.iter().map(|at| exprs[*at].clone()).collect();
            let alike = match any_double {
                true => operands.into_iter().map(|expr| self.double(expr)).collect::<Result<Vec<_>, _>>()?,
                false => self.one_type(operands)?,
            };
            for (at, expr) in numbers.into_iter().zip(alike) {
                exprs[at] = expr;
            }
        }
        Ok(())
    }

    /// The least vague of several operands says how the others are read: anything rather than a literal, and among those
    /// anything rather than text, and that rather than NULL.
    pub(super) fn vagueness(&self, expr: &Expr) -> (bool, u8) {
        let is_literal = matches!(expr, Expr::Literal(..));
        let says_little = match self.class(expr) {
            Ok(Class::Null) | Err(_) => 2,
            Ok(Class::Text) => 1,
            Ok(_) => 0,
        };
        (is_literal, says_little)
    }

    pub(super) fn case(
        &self,
        operand: &Option<Box<Ast>>,
        conditions: &[ast::CaseWhen],
        otherwise: &Option<Box<Ast>>,
    ) -> Lowered {
        let results: Vec<&Ast> = conditions.iter().map(|branch| &branch.result).chain(otherwise.as_deref()).collect();
        let mut results = self.alternatives(&results)?;
        let otherwise = otherwise.as_ref().and_then(|_| results.pop()).map(Box::new);
        let whens: Vec<Expr> = match operand {
            Some(operand) => {
                let asts: Vec<&Ast> = std::iter::once(operand.as_ref())
                    .chain(conditions.iter().map(|branch| &branch.condition))
                    .collect();
                let span = asts.iter().map(|ast| ast.span()).reduce(|all, span| all.union(&span));
                let span = span.unwrap_or_else(|| operand.span());
                let mut exprs = self.of_one_kind(&asts)?;
                self.refuse_texts_beside_long_integers(&asts, false)?;
                self.refuse_signs_mixed_in(&exprs, operand.span())?;
                let operand = exprs.remove(0);
                self.equals_each(&operand, exprs, span)?
            }
            None => conditions.iter().map(|branch| self.condition(&branch.condition)).collect::<Result<_, _>>()?,
        };
        let branches = whens.into_iter().zip(results).map(|(when, then)| (Box::new(when), Box::new(then))).collect();
        self.chosen(Expr::Case(Case::new(None, branches, otherwise)))
    }

    /// Of several values of which one is chosen, a BIT is bytes.
    pub(super) fn refuse_bit_as_choice(&self, expr: &Expr, span: Span) -> Result<(), Refusal> {
        match self.source_kind(expr) {
            Kind::Bit => Err(Refusal::new(span, "BIT is bytes where it is chosen").hint("Write x + 0.")),
            _ => Ok(()),
        }
    }

    pub(super) fn alternatives(&self, asts: &[&Ast]) -> Result<Vec<Expr>, Refusal> {
        let mut exprs = asts.iter().map(|ast| self.lower(ast)).collect::<Result<Vec<Expr>, Refusal>>()?;
        let spans: Vec<Span> = asts.iter().map(|ast| ast.span()).collect();
        self.alike(&mut exprs, &spans)?;
        Ok(exprs)
    }

    pub(super) fn like(&self, expr: &Ast, pattern: &Ast, negated: bool, case_insensitive: bool) -> Lowered {
        let span = expr.span().union(&pattern.span());
        let expr = self.as_text(self.lower(expr)?, expr.span())?;
        let pattern = self.as_text(self.lower(pattern)?, pattern.span())?;
        if !case_insensitive && let Some(like) = self.text_like(&expr, &pattern, negated, span)? {
            return Ok(like);
        }
        Ok(Expr::Like(Like::new(negated, Box::new(expr), Box::new(pattern), None, case_insensitive)))
    }

    /// `LIKE … ESCAPE`: a pattern that is a literal is written with backslashes instead.
    pub(super) fn like_with_escape(&self, expr: &Ast, pattern: &Ast, escape: &Value, negated: bool) -> Lowered {
        let span = pattern.span();
        let escape = match escape {
            Value::SingleQuotedString(text) => text.chars().collect::<Vec<char>>(),
            _ => Vec::new(),
        };
        let lowered = self.lower(pattern)?;
        let (Expr::Literal(ScalarValue::Utf8(Some(text)), _), [escape]) = (&lowered, escape.as_slice()) else {
            return Err(Refusal::new(span, "LIKE … ESCAPE takes literals, and one character"));
        };
        let mut rewritten = String::with_capacity(text.len() + 8);
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                _ if character == *escape => {
                    let escaped = characters.next().ok_or_else(|| Refusal::new(span, "nothing follows the escape"))?;
                    rewritten.extend(['\\', escaped]);
                }
                '\\' => rewritten.push_str("\\\\"),
                _ => rewritten.push(character),
            }
        }
        let expr = self.as_text(self.lower(expr)?, expr.span())?;
        let pattern = Expr::from_literal(ScalarValue::Utf8(Some(rewritten)));
        if let Some(like) = self.text_like(&expr, &pattern, negated, span)? {
            return Ok(like);
        }
        Ok(Expr::Like(Like::new(negated, Box::new(expr), Box::new(pattern), None, false)))
    }
}
