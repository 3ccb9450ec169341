//! Dates and times: what is read as one, and what moves them.
//!
//! Dates that do not exist ('0000-00-00', '2010-00-10') reach us as numbers far below every date. Comparisons see
//! them as that, functions of ours read their digits. DataFusion's own functions see NULL instead ([`Lower::existing`]),
//! because their kernels would overflow or make up a date.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::ScalarValue;
use datafusion_expr::{Expr, Operator};
use sqlparser::ast::{self, DateTimeField, Expr as Ast, Spanned, UnaryOperator, Value};
use sqlparser::tokenizer::Span;

use super::calls::{date_time, unit_of};
use super::{Class, FromLiteral, Lower, Lowered, micros, not_a};
use crate::error::Refusal;
use crate::functions::date::{self, Unit};
use crate::literal;

impl Lower<'_> {
    pub(super) fn plus_or_minus(&self, left: &Ast, op: Operator, right: &Ast, span: Span) -> Lowered {
        let sign = if op == Operator::Plus { 1 } else { -1 };
        match (left, right) {
            (date, Ast::Interval(_)) => return self.date_plus(date, right, sign),
            (Ast::Interval(_), date) if sign == 1 => return self.date_plus(date, left, 1),
            (Ast::Interval(_), _) => return Err(Refusal::new(span, "an interval is subtracted from a date")),
            _ => {}
        }
        let (left_span, right_span) = (left.span(), right.span());
        let (left, right) = (self.lower(left)?, self.lower(right)?);
        let (a, b) = (self.class(&left)?, self.class(&right)?);
        if op == Operator::Minus && a.is_temporal() && b.is_temporal() {
            return Err(Refusal::new(span, "`-` of two dates subtracts their digits in MySQL")
                .hint("Write datediff(a, b) for days, unix_timestamp(a) - unix_timestamp(b) for seconds."));
        }
        self.compute(self.as_number(left, left_span)?, op, self.as_number(right, right_span)?, span)
    }

    /// A date or date-time plus an interval, or a number of days.
    pub(super) fn date_plus(&self, date: &Ast, by: &Ast, sign: i64) -> Lowered {
        let date = self.as_date(self.lower(date)?, date.span())?;
        let (amount, unit) = match by {
            Ast::Interval(interval) => self.interval(interval)?,
            days => (self.integer(days)?, Unit::Days(1)),
        };
        self.moved(date, amount, unit, sign, by.span())
    }

    /// TIMESTAMPADD.
    pub(super) fn timestamp_add(&self, unit: &Ast, amount: &Ast, date: &Ast) -> Lowered {
        let date = self.as_date(self.lower(date)?, date.span())?;
        self.moved(date, self.integer(amount)?, unit_of(unit)?, 1, amount.span())
    }

    /// TIMESTAMPDIFF.
    pub(super) fn timestamp_difference(&self, unit: &Ast, from: &Ast, to: &Ast) -> Lowered {
        let unit = unit_of(unit)?;
        let size = match unit {
            Unit::Months(months) => months,
            Unit::Days(days) => days * literal::MICROS_PER_DAY,
            Unit::Micros(micros) => micros,
        };
        let from = self.as_date(self.lower(from)?, from.span())?;
        let to = self.as_date(self.lower(to)?, to.span())?;
        let size = Expr::from_literal(ScalarValue::Int64(Some(size)));
        self.finish(date::difference(unit).call(vec![from, to, size]))
    }

    fn moved(&self, date: Expr, amount: Expr, unit: Unit, sign: i64, span: Span) -> Lowered {
        let factor = match unit {
            Unit::Months(factor) | Unit::Days(factor) | Unit::Micros(factor) => factor * sign,
        };
        let factor = Expr::from_literal(ScalarValue::Int64(Some(factor)));
        let amount = self.compute(amount, Operator::Multiply, factor, span)?;
        let amount = match self.type_of(&amount)? {
            DataType::Int64 => amount,
            _ => return Err(Refusal::new(span, "an interval counts in BIGINT").hint("Write CAST(x AS SIGNED).")),
        };
        // As in MySQL, a date becomes a date-time when its time moves.
        let date = match (self.class(&date)?, unit) {
            (Class::Date, Unit::Micros(_)) => self.at_midnight(date)?,
            _ => date,
        };
        let kernel = date::moved(unit, &self.type_of(&date)?);
        // Digits of a second: whole seconds add none.
        let shown = match unit {
            Unit::Micros(micros) => self.shown_fraction(&date).map(|shown| if micros == 1 { 6 } else { shown }),
            _ => None,
        };
        let kernel = match shown {
            Some(shown) => kernel.shows(shown),
            None => kernel,
        };
        self.finish(kernel.call(vec![date, amount]))
    }

    /// A date as the date-time that it begins with, also one that does not exist.
    pub(super) fn at_midnight(&self, date: Expr) -> Lowered {
        match &date {
            Expr::Literal(ScalarValue::Date32(Some(days)), _) => {
                Ok(Expr::from_literal(literal::timestamp(*days, 0, &date_time())))
            }
            _ => self.finish(date::at_midnight().call(vec![date])),
        }
    }

    /// Amount and unit.
    fn interval(&self, interval: &ast::Interval) -> Result<(Expr, Unit), Refusal> {
        let span = interval.value.span();
        let unit = interval.leading_field.as_ref().map(|field| field.to_string().to_lowercase());
        let unit = unit
            .as_deref()
            .and_then(Unit::named)
            .filter(|_| interval.last_field.is_none())
            .ok_or_else(|| Refusal::new(span, "an interval has an integer and a unit: INTERVAL 2 DAY"))?;
        let amount = match interval.value.as_ref() {
            // INTERVAL '2' DAY
            Ast::Value(ast::ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => {
                let amount = text.trim().parse().map_err(|_| Refusal::new(span, "this is not a number of them"))?;
                Expr::from_literal(ScalarValue::Int64(Some(amount)))
            }
            Ast::UnaryOp { op: UnaryOperator::Minus, expr } => match expr.as_ref() {
                Ast::Value(ast::ValueWithSpan { value: Value::SingleQuotedString(_), .. }) => {
                    return Err(Refusal::new(span, "this is not a number of them"));
                }
                _ => self.lower(&interval.value)?,
            },
            value => self.lower(value)?,
        };
        let amount = self.as_number(amount, span)?;
        match self.class(&amount)? {
            Class::Integer => Ok((self.as_integer(amount, span)?, unit)),
            _ => Err(Refusal::new(span, "an interval counts in integers").hint("Write CAST(x AS SIGNED).")),
        }
    }

    /// STR_TO_DATE, whose type is decided by its format.
    pub(super) fn string_to_date(&self, text: &Ast, format: &Ast) -> Lowered {
        let text = self.as_text(self.lower(text)?, text.span())?;
        let lowered = self.lower(format)?;
        let Expr::Literal(ScalarValue::Utf8(Some(pattern)), _) = &lowered else {
            return Err(Refusal::new(format.span(), "the format must be a literal, because it decides the type"));
        };
        let returns = date::format_makes(pattern).ok_or_else(|| {
            Refusal::new(format.span(), "what this format makes depends on the SQL mode, or is no date")
                .hint("Name year, month and day: '%Y-%m-%d', '%d.%m.%Y %H:%i'.")
        })?;
        self.finish(date::str_to_date(returns).call(vec![text, lowered]))
    }

    /// A date or date-time; text only as a literal.
    pub(super) fn as_date(&self, expr: Expr, span: Span) -> Lowered {
        match self.class(&expr)? {
            Class::Date | Class::Timestamp => Ok(expr),
            Class::Null => Ok(Expr::from_literal(ScalarValue::TimestampMicrosecond(None, None))),
            Class::Text => {
                let not_literal = || {
                    Refusal::new(span, "text is not a date")
                        .hint("Write CAST(x AS DATETIME), or str_to_date(x, format).")
                };
                let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = &expr else { return Err(not_literal()) };
                let (days, time) = literal::date_time(text).ok_or_else(|| not_a(span, &micros(None)))?;
                Ok(Expr::from_literal(match text.contains(':') {
                    true => literal::timestamp(days, time, &date_time()),
                    false => ScalarValue::Date32(Some(days)),
                }))
            }
            _ => Err(Refusal::new(span, format!("{} is not a date", self.name_of_type(&expr)?))
                .hint("Write CAST(x AS DATETIME).")),
        }
    }

    /// EXTRACT(field FROM x).
    pub(super) fn extracted(&self, field: &DateTimeField, ast: &Ast, span: Span) -> Lowered {
        let name = match field {
            DateTimeField::Year => "year",
            DateTimeField::Quarter => "quarter",
            DateTimeField::Month => "month",
            // MySQL has nonsense for dates with a part that is zero.
            DateTimeField::Week(None) => {
                return Err(Refusal::new(span, "EXTRACT(WEEK FROM …) is not supported").hint("Write week(x)."));
            }
            DateTimeField::Day => "day",
            DateTimeField::Hour => "hour",
            DateTimeField::Minute => "minute",
            DateTimeField::Second => "second",
            DateTimeField::Microsecond => "microsecond",
            _ => return Err(Refusal::new(span, format!("EXTRACT({field} FROM …) is not supported"))),
        };
        self.call(name, &[ast], span)
    }

    /// NULL in place of dates that do not exist, for whatever computes with dates.
    pub(super) fn existing(&self, expr: Expr) -> Lowered {
        match self.type_of(&expr)? {
            data_type @ (DataType::Date32 | DataType::Timestamp(TimeUnit::Microsecond, _)) => {
                self.finish(date::existing(&data_type).call(vec![expr]))
            }
            _ => Ok(expr),
        }
    }

    /// What CASE, COALESCE and the like make of their branches.
    pub(super) fn chosen(&self, expr: Expr) -> Lowered {
        let expr = self.finish(expr)?;
        match self.type_of(&expr)? {
            data_type @ (DataType::Date32 | DataType::Timestamp(TimeUnit::Microsecond, _)) => {
                self.finish(date::chosen(&data_type).call(vec![expr]))
            }
            _ => Ok(expr),
        }
    }
}
