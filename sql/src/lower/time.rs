//! Dates and times: what is read as one, and what moves them.
//!
//! Dates that do not exist ('0000-00-00', '2010-00-10') reach us as numbers far below every date. Comparisons see
//! them as that, functions of ours read their digits. DataFusion's own functions see NULL instead ([`Lower::existing`]),
//! because their kernels would overflow or make up a date.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::ScalarValue;
use datafusion_expr::expr::Case;
use datafusion_expr::{Expr, Operator};
use sqlparser::ast::{self, DateTimeField, Expr as Ast, Spanned, UnaryOperator, Value};
use sqlparser::tokenizer::Span;

use super::calls::{date_time, unit_of};
use super::{Class, FromLiteral, Lower, Lowered, cast_to, micros, not_a};
use crate::error::Refusal;
use crate::functions::date::{self, Unit};
use crate::functions::kernel::Kernel;
use crate::functions::{clock, number};
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
            // Not BIGINT UNSIGNED: MySQL takes its 64 bits as signed ones, MariaDB with some units.
            Class::Integer => Ok((self.long(amount)?, unit)),
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
            Refusal::new(format.span(), "what this format makes depends on the SQL mode or the server, or is no date")
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
        let part = self.call(name, &[ast], span)?;
        let time = self.lower(ast)?;
        if self.class(&time)? == Class::Time {
            // Unlike hour() and the like, those of a TIME have its sign.
            let part = self.finish(part)?;
            let zero = Expr::from_literal(ScalarValue::DurationMicrosecond(Some(0)));
            let is_negative = Box::new(super::binary(time, Operator::Lt, zero));
            let negated = Box::new(self.finish(number::negated(&self.type_of(&part)?).call(vec![part.clone()]))?);
            return self.finish(Expr::Case(Case::new(None, vec![(is_negative, negated)], Some(Box::new(part)))));
        }
        // Unlike year(), it has a sign.
        if name == "year" { self.finish(cast_to(self.finish(part)?, DataType::Int64)) } else { Ok(part) }
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

    /// ADDTIME and SUBTIME.
    pub(super) fn add_time(&self, time: &Ast, by: &Ast, forwards: bool) -> Lowered {
        let expr = self.lower(time)?;
        let expr = match self.class(&expr)? {
            Class::Time => expr,
            Class::Timestamp => self.plain_date_time(expr)?,
            _ => {
                return Err(Refusal::new(time.span(), format!("{} is no time", self.name_of_type(&expr)?))
                    .hint("Write CAST(x AS DATETIME)."));
            }
        };
        self.plus_time(expr, by, forwards)
    }

    fn plus_time(&self, expr: Expr, by: &Ast, forwards: bool) -> Lowered {
        let by = self.span_of_time(by)?;
        let fraction = self.shown_fraction(&expr).zip(self.shown_fraction(&by));
        let kernel = clock::added(&self.type_of(&expr)?, forwards);
        let kernel = match fraction {
            Some((a, b)) => kernel.shows(a.max(b)),
            None => kernel,
        };
        self.finish(kernel.call(vec![expr, by]))
    }

    /// A TIME, or a literal that is one.
    fn span_of_time(&self, ast: &Ast) -> Lowered {
        let expr = self.lower(ast)?;
        match (self.class(&expr)?, crate::text::literal_text(&expr)) {
            (Class::Time, _) => Ok(expr),
            (Class::Text, Some(text)) => {
                let data_type = DataType::Duration(TimeUnit::Microsecond);
                let micros = literal::time_of_day(text).filter(|_| text.contains(':'));
                let micros = micros.ok_or_else(|| not_a(ast.span(), &data_type))?;
                Ok(Expr::from_literal(ScalarValue::DurationMicrosecond(Some(micros))))
            }
            (Class::Null, _) => Ok(Expr::from_literal(ScalarValue::DurationMicrosecond(None))),
            _ => Err(Refusal::new(ast.span(), format!("{} is not a TIME", self.name_of_type(&expr)?))
                .hint("Write time(x), or a literal like '01:30:00'.")),
        }
    }

    /// DATETIME, also of a TIMESTAMP.
    fn plain_date_time(&self, expr: Expr) -> Lowered {
        match self.type_of(&expr)? {
            data_type if data_type == date_time() => Ok(expr),
            _ => {
                let fraction = self.shown_fraction(&expr);
                let kernel = match fraction {
                    Some(fraction) => date::in_utc().shows(fraction),
                    None => date::in_utc(),
                };
                self.finish(kernel.call(vec![expr]))
            }
        }
    }

    /// TIMEDIFF, of two values of one kind.
    pub(super) fn time_difference(&self, left: &Ast, right: &Ast) -> Lowered {
        let exprs = [self.lower(left)?, self.lower(right)?];
        let fraction = self.shown_fraction(&exprs[0]).zip(self.shown_fraction(&exprs[1]));
        match (self.class(&exprs[0])?, self.class(&exprs[1])?) {
            (Class::Time, Class::Time) | (Class::Timestamp, Class::Timestamp) => {}
            _ => {
                return Err(Refusal::new(
                    left.span().union(&right.span()),
                    "timediff() takes two TIMEs or two DATETIMEs",
                )
                .hint("Write timestampdiff(SECOND, a, b)."));
            }
        }
        let kernel = match fraction {
            Some((a, b)) => clock::between().shows(a.max(b)),
            None => clock::between(),
        };
        self.finish(kernel.call(exprs.to_vec()))
    }

    /// TIMESTAMP: a date as a date-time, with a TIME added if there is one.
    pub(super) fn timestamp(&self, date: &Ast, time: Option<&Ast>) -> Lowered {
        let expr = self.as_date(self.lower(date)?, date.span())?;
        let expr = match self.class(&expr)? {
            Class::Date => self.at_midnight(self.chosen(expr)?)?,
            _ => self.chosen(self.plain_date_time(expr)?)?,
        };
        match time {
            Some(time) => self.plus_time(expr, time, true),
            None => Ok(expr),
        }
    }

    /// MAKETIME, whose seconds may have a fraction.
    pub(super) fn make_time(&self, hours: &Ast, minutes: &Ast, seconds: &Ast) -> Lowered {
        let span = seconds.span();
        let (hours, minutes) = (
            self.as_integer(self.lower(hours)?, hours.span())?,
            self.as_integer(self.lower(minutes)?, minutes.span())?,
        );
        let seconds = self.number(seconds)?;
        let fraction = match (self.class(&seconds)?, number::digits(&self.type_of(&seconds)?)) {
            (Class::Integer, _) => 0,
            (Class::Decimal, Some((_, scale @ 0..=6))) => scale.unsigned_abs(),
            _ => {
                return Err(Refusal::new(span, "seconds are integers or decimals with at most six digits")
                    .hint("Write CAST(x AS DECIMAL(8, 6))."));
            }
        };
        let seconds = self.decimal(seconds)?;
        let whole = number::digits(&self.type_of(&seconds)?).map_or(20, |(whole, _)| whole);
        let micros = match number::decimal_type(whole + 6, 6) {
            wide @ DataType::Decimal128(..) => self.finish(super::cast_to(seconds, wide))?,
            _ => return Err(Refusal::new(span, "seconds have fewer digits").hint("Write CAST(x AS DECIMAL(8, 6)).")),
        };
        self.finish(clock::made().shows(fraction).call(vec![hours, minutes, micros]))
    }

    /// FROM_UNIXTIME and SEC_TO_TIME, whose seconds may have a fraction, of nine digits for the kernels.
    pub(super) fn of_seconds(&self, kernel: Kernel, ast: &Ast) -> Lowered {
        const DIGITS: i8 = 9;
        let span = ast.span();
        let seconds = self.as_number(self.lower(ast)?, span)?;
        let (seconds, scale) = match self.class(&seconds)? {
            Class::Decimal => {
                self.refuse_quotient(&seconds, span)?;
                let scale = number::digits(&self.type_of(&seconds)?).map_or(0, |(_, scale)| scale);
                (seconds, scale)
            }
            _ => (self.as_integer(seconds, span)?, 0),
        };
        let seconds = self.decimal(seconds)?;
        let whole = number::digits(&self.type_of(&seconds)?).map_or(20, |(whole, _)| whole);
        let seconds = match number::decimal_type(whole + i16::from(DIGITS), DIGITS) {
            wide @ DataType::Decimal128(..) if scale <= DIGITS => self.finish(cast_to(seconds, wide))?,
            _ => {
                return Err(Refusal::new(span, "seconds have fewer digits, at most nine of them behind the point")
                    .hint("Write CAST(x AS DECIMAL(20, 6))."));
            }
        };
        self.finish(kernel.shows(scale.unsigned_abs().min(6)).call(vec![seconds]))
    }

    /// CONVERT_TZ between zones that are written as distances from UTC.
    pub(super) fn convert_zone(&self, date: &Ast, from: &Ast, to: &Ast) -> Lowered {
        let expr = self.as_date(self.lower(date)?, date.span())?;
        let expr = match self.class(&expr)? {
            Class::Date => self.at_midnight(expr)?,
            _ => self.plain_date_time(expr)?,
        };
        let mut args = vec![expr];
        for zone in [from, to] {
            let lowered = self.lower(zone)?;
            let offset = crate::text::literal_text(&lowered).and_then(clock::offset).ok_or_else(|| {
                Refusal::new(zone.span(), "only zones of a fixed distance from UTC mean the same everywhere")
                    .hint("Write a literal like '+05:30'; what a name means, the server's tables say.")
            })?;
            args.push(Expr::from_literal(ScalarValue::Int64(Some(offset))));
        }
        self.finish(clock::converted().call(args))
    }

    /// GET_FORMAT, of literals.
    pub(super) fn format_of(&self, kind: &Ast, place: &Ast) -> Lowered {
        let lowered = self.lower(place)?;
        let place = match &lowered {
            Expr::Literal(value, _) if value.is_null() => "",
            _ => crate::text::literal_text(&lowered)
                .ok_or_else(|| Refusal::new(place.span(), "the place must be a literal, such as 'ISO'"))?,
        };
        let format = clock::format_of(&kind.to_string().to_lowercase(), place).map(str::to_owned);
        Ok(Expr::from_literal(ScalarValue::Utf8(format)))
    }

    /// INTERVAL(x, a, b, …): how many of the rising numbers are not greater than x; -1 of NULL.
    pub(super) fn interval_of(&self, value: &Ast, borders: &[&Ast]) -> Lowered {
        let number = |number| Box::new(Expr::from_literal(ScalarValue::Int64(Some(number))));
        let is_null = Expr::IsNull(Box::new(self.number(value)?));
        let mut branches = vec![(Box::new(is_null), number(-1))];
        for (place, border) in (0..).zip(borders) {
            self.number(border)?;
            let [border_value, value] =
                self.comparable(&[border, value])?.try_into().expect("two expressions stay two");
            let greater = self.compare(border_value, Operator::Gt, value, border.span())?;
            branches.push((Box::new(self.finish(greater)?), number(place)));
        }
        let all = number(borders.len() as i64);
        self.finish(Expr::Case(Case::new(None, branches, Some(all))))
    }
}
