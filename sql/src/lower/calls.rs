//! Calls of functions: every argument is brought to what its parameter takes, or refused with the cast to write.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::ScalarValue;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::Expr;
use datafusion_expr::expr::{Case, ScalarFunction};
use sqlparser::ast::{self, Expr as Ast, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart, Spanned};
use sqlparser::tokenizer::Span;
use tidegate_charset::Charset;

use super::text::bare;
use super::{Class, FromLiteral, Lower, Lowered, cast_to, is_choice, is_null};
use crate::error::Refusal;
use crate::functions::kernel::Kernel;
use crate::functions::number::{self, Rounding};
use crate::functions::{self, Meaning, Parameter, Regexp, Rewrite, date, encode, hash, json, regexp, string};
use crate::{Kind, types};

const BIGINT_UNSIGNED_DIGITS: i16 = 20;

/// Character sets whose text has the same bytes here.
const OUR_CHARSETS: [&str; 4] = ["utf8mb4", "utf8mb3", "utf8", "ascii"];

impl Lower<'_> {
    pub(super) fn function(&self, function: &ast::Function, span: Span) -> Lowered {
        let name = match function.name.0.as_slice() {
            [ObjectNamePart::Identifier(name)] => name.value.to_lowercase(),
            _ => return Err(Refusal::new(span, format!("no function {}", function.name))),
        };
        if functions::meaning(&name).is_none() {
            let (message, hint) = functions::refused(&name);
            let refusal = Refusal::new(function.name.span(), message);
            return Err(match hint {
                Some(hint) => refusal.hint(hint),
                None => refusal,
            });
        }
        let unsupported = || Refusal::new(span, format!("{name}() takes plain arguments"));
        let args = match &function.args {
            FunctionArguments::None => &[][..],
            FunctionArguments::List(list) if list.duplicate_treatment.is_none() && list.clauses.is_empty() => {
                &list.args
            }
            _ => return Err(unsupported()),
        };
        let plain = function.filter.is_none()
            && function.over.is_none()
            && function.null_treatment.is_none()
            && function.within_group.is_empty()
            && !function.uses_odbc_syntax;
        if !plain {
            return Err(unsupported());
        }
        let args = args.iter().map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
            _ => Err(unsupported()),
        });
        self.call(&name, &args.collect::<Result<Vec<&Ast>, Refusal>>()?, span)
    }

    pub(super) fn call(&self, name: &str, args: &[&Ast], span: Span) -> Lowered {
        let number_of_arguments =
            || Refusal::new(span, format!("{name}() does not take {} arguments of this kind", args.len()));
        match functions::meaning(name) {
            Some(Meaning::Direct(datafusion_name)) => self.call_direct(datafusion_name, args, span),
            Some(Meaning::Rewritten(rewrite)) => {
                self.rewritten(rewrite, args, span).unwrap_or_else(|| Err(number_of_arguments()))
            }
            Some(Meaning::Kernel(function)) => {
                if !function.takes(args.len()) {
                    return Err(number_of_arguments());
                }
                let reads_label = |expr: &Expr| {
                    expr.column_refs().into_iter().any(|column| self.is_label(&Expr::Column(column.clone())))
                };
                if name == "json_valid" && reads_label(&self.lower(args[0])?) {
                    // MySQL 9.7 has 0 for NULL.
                    return Err(Refusal::new(args[0].span(), "json_valid() does not take ENUM and SET"));
                }
                if name == "make_set" {
                    // Beside text that is made of a number, MySQL 9.7 takes text of other characters for bytes.
                    for ast in &args[1..] {
                        let expr = bare(self.lower(ast)?);
                        if !matches!(expr, Expr::Column(_) | Expr::Literal(..)) {
                            return Err(Refusal::new(ast.span(), "make_set() takes columns and literals")
                                .hint("Write concat_ws(',', if(x & 1, a, NULL), if(x & 2, b, NULL))."));
                        }
                    }
                }
                if name == "ord"
                    && let Some(charset) = self.foreign_charset(&self.lower(args[0])?)?
                    && !Charset::from_name(&charset).is_some_and(Charset::is_single_byte)
                {
                    let message = format!("ord() of text in {charset} counts bytes that are others here");
                    return Err(Refusal::new(args[0].span(), message).hint("Write ord(CONVERT(x USING utf8mb4))."));
                }
                if name == "json_valid" {
                    let expr = self.lower(args[0])?;
                    if !matches!(self.class(&expr)?, Class::Text | Class::Json | Class::Null) {
                        let message = format!("json_valid() looks at text, not at {}", self.name_of_type(&expr)?);
                        return Err(Refusal::new(args[0].span(), message).hint("Write CAST(x AS CHAR)."));
                    }
                }
                if let ("week" | "yearweek", [_, mode]) = (function.name, args)
                    && !matches!(self.lower(mode)?, Expr::Literal(ScalarValue::Int64(Some(0..)), _))
                {
                    return Err(Refusal::new(
                        mode.span(),
                        "servers read a mode that is NULL or negative in more than one way",
                    )
                    .hint("Write a mode from 0 to 7."));
                }
                if name == "strcmp" {
                    // A number beside text is compared in another way, and a date is read from the text.
                    for ast in args {
                        let expr = self.lower(ast)?;
                        if !matches!(self.class(&expr)?, Class::Text | Class::Null) {
                            let message = format!("strcmp() takes text, not {}", self.name_of_type(&expr)?);
                            return Err(Refusal::new(ast.span(), message).hint("Write CAST(x AS CHAR)."));
                        }
                    }
                }
                if let ("insert" | "lpad" | "rpad", [first, .., last]) = (function.name, args) {
                    self.refuse_text_put_into_digits(first, last)?;
                }
                let args = args.iter().enumerate().map(|(at, ast)| self.argument(function.parameter(at), ast));
                let args = args.collect::<Result<Vec<Expr>, Refusal>>()?;
                match self.text_function(function.name, &args, span)? {
                    Some(expr) => Ok(expr),
                    None => Ok(function.kernel().call(args)),
                }
            }
            None => Err(Refusal::new(span, functions::refused(name).0)),
        }
    }

    fn argument(&self, parameter: Parameter, ast: &Ast) -> Lowered {
        let span = ast.span();
        let expr = self.lower(ast)?;
        match parameter {
            Parameter::Text => self.as_text(expr, span),
            // A column would bring its collation.
            Parameter::Literal => {
                self.literal_that(expr, |_| true, span, || Refusal::new(span, "this argument must be a literal"))
            }
            Parameter::Letters => {
                if let Some(charset) = self.foreign_charset(&expr)? {
                    return Err(Refusal::new(span, format!("{charset} has an upper and lower case of its own"))
                        .hint("Write CONVERT(x USING utf8mb4)."));
                }
                match self.class(&expr)? {
                    Class::Text | Class::Null => self.as_text(expr, span),
                    // MySQL 9.7 then takes other text that is joined with it for bytes.
                    _ => Err(Refusal::new(span, format!("{} has no upper and lower case", self.name_of_type(&expr)?))
                        .hint("Write CAST(x AS CHAR).")),
                }
            }
            Parameter::Bytes => self.as_bytes(expr, span),
            Parameter::Address => match self.class(&expr)? {
                Class::Binary if self.foreign_charset(&expr)?.is_some() => {
                    Err(Refusal::new(span, "text in another character set is no address")
                        .hint("Write a binary column."))
                }
                Class::Binary => Ok(expr),
                _ => self.as_text(expr, span),
            },
            Parameter::Integer => self.as_integer(expr, span),
            Parameter::Bits => match self.class(&self.as_number(expr.clone(), span)?)? {
                Class::Integer => self.long(self.as_number(expr, span)?),
                _ => Err(Refusal::new(span, format!("{} is not an integer", self.name_of_type(&expr)?))
                    .hint("Write CAST(x AS SIGNED).")),
            },
            Parameter::Double => self.double(self.as_number(expr, span)?),
            Parameter::Date => self.as_date(expr, span),
            Parameter::Time => match self.class(&expr)? {
                Class::Time => Ok(expr),
                _ => self.as_date(expr, span),
            },
            Parameter::Document => self.as_document(expr, span),
            Parameter::Path => self.literal_that(expr, json::is_path, span, || {
                Refusal::new(span, "this is not a path to one JSON value")
                    .hint("Paths are literals like '$.name', '$.\"a name\"', '$[0]' and '$[last]'.")
            }),
            Parameter::Value => self.as_json(expr, ast),
            Parameter::Candidate => self.literal_that(expr, json::is_candidate, span, || {
                Refusal::new(span, "this is not a JSON literal that can be looked for").hint(
                    "Write '7', '\"text\"' or '[1, 2]'; of text that looks like a date, JSON does not say what it is.",
                )
            }),
        }
    }

    fn literal_that(&self, expr: Expr, fits: fn(&str) -> bool, _span: Span, refusal: impl Fn() -> Refusal) -> Lowered {
        let expr = bare(expr);
        match &expr {
            Expr::Literal(ScalarValue::Utf8(Some(text)), _) if fits(text) => Ok(expr),
            _ => Err(refusal()),
        }
    }

    /// Text as MySQL makes it of other values.
    pub(super) fn as_text(&self, expr: Expr, span: Span) -> Lowered {
        let data_type = self.type_of(&expr)?;
        let class = self.class(&expr)?;
        match class {
            Class::Text if data_type == DataType::Utf8 => Ok(expr),
            Class::Text => self.finish(cast_to(expr, DataType::Utf8)),
            Class::Null => Ok(Expr::from_literal(ScalarValue::Utf8(None))),
            Class::Json => self.finish(json::text().call(vec![expr])),
            Class::Condition => self.finish(number::text().call(vec![cast_to(expr, DataType::Int64)])),
            Class::Integer | Class::Decimal => match self.source_kind(&expr) {
                Kind::Bit => Err(Refusal::new(span, "BIT is bytes as text").hint("Write x + 0, or hex(x).")),
                Kind::Year => {
                    let width = Expr::from_literal(ScalarValue::Int64(Some(4)));
                    let zero = Expr::from_literal(ScalarValue::Utf8(Some("0".to_owned())));
                    let digits = self.finish(number::text().call(vec![expr]))?;
                    self.kernel("lpad", vec![digits, width, zero])
                }
                _ if class == Class::Integer && is_choice(&expr) && self.reads_year_or_bit(&expr) => {
                    Err(not_as_text(span, &data_type, "YEAR has four digits and BIT is bytes as text: write x + 0."))
                }
                _ if class == Class::Decimal && is_choice(&expr) => Err(not_as_text(
                    span,
                    &data_type,
                    "Its digits depend on the branch: write CAST(x AS DECIMAL(20, 4)).",
                )),
                _ => self.finish(number::text().call(vec![expr])),
            },
            Class::Date => self.finish(date::text(0).call(vec![expr])),
            Class::Timestamp | Class::Time => match self.shown_fraction(&expr) {
                Some(fraction) => self.finish(date::text(fraction).call(vec![expr])),
                None => Err(not_as_text(span, &data_type, "Write date_format(x, '%Y-%m-%d %H:%i:%s').")),
            },
            Class::Float => Err(not_as_text(span, &data_type, "Write CAST(CAST(x AS DECIMAL(20, 4)) AS CHAR).")),
            Class::Binary => Err(not_as_text(span, &data_type, "Write CONVERT(x USING utf8mb4), or hex(x).")),
            Class::Interval | Class::Other => Err(not_as_text(span, &data_type, "Write CAST(x AS CHAR).")),
        }
    }

    /// Bytes as MySQL has them. Text comes here in UTF-8, whatever the column's own character set is: that of a column is written back.
    pub(super) fn as_bytes(&self, expr: Expr, span: Span) -> Lowered {
        if self.class(&expr)? == Class::Binary {
            return Ok(expr);
        }
        let Some(name) = self.foreign_charset(&expr)? else { return self.as_text(expr, span) };
        let is_written = Charset::from_name(&name).is_some_and(Charset::encodes);
        if !is_written || !matches!(expr, Expr::Column(_)) || self.class(&expr)? != Class::Text {
            return Err(Refusal::new(span, format!("the bytes of text in {name} are others here"))
                .hint("Write CONVERT(x USING utf8mb4), if its bytes are meant."));
        }
        let text = self.as_text(expr, span)?;
        let charset = Expr::from_literal(ScalarValue::Utf8(Some(name)));
        self.finish(encode::in_charset().call(vec![text, charset]))
    }

    /// What is computed as text of numbers and dates alone, as by right(d, 1), has no characters but ASCII's to MySQL 9.7, and other text
    /// that is put into it is taken for bytes.
    fn refuse_text_put_into_digits(&self, into: &Ast, text: &Ast) -> Result<(), Refusal> {
        let has_text = |expr: &Expr| {
            let is_text = |name: &str| {
                self.schema.as_arrow().field_with_name(name).is_ok_and(|field| types::is_text(field.data_type()))
            };
            expr.column_refs().iter().any(|column| is_text(column.name()))
        };
        let (digits, text_of) = (self.lower(into)?, self.lower(text)?);
        let is_of_digits = self.class(&digits)? == Class::Text
            && !digits.column_refs().is_empty()
            && !has_text(&digits)
            && !super::compare::is_cast(into);
        let may_be_beyond =
            has_text(&text_of) || crate::text::literal_text(&text_of).is_some_and(|text| !text.is_ascii());
        match is_of_digits && may_be_beyond {
            true => Err(Refusal::new(into.span(), "text that is put into digits is taken for bytes")
                .hint("Write CAST(x AS CHAR) for the first argument.")),
            false => Ok(()),
        }
    }

    /// The character set of a text column that is read, if its bytes are not ours.
    fn foreign_charset(&self, expr: &Expr) -> Result<Option<String>, Refusal> {
        let mut found = None;
        expr.apply(|node| {
            if Kernel::of(node).is_some_and(|(kernel, _)| matches!(kernel.name(), "convert" | "text_of_bytes")) {
                return Ok(TreeNodeRecursion::Jump);
            }
            if let Expr::Column(column) = node {
                let charset = self.source(column.name()).and_then(|source| source.charset.as_deref());
                if let Some(charset) = charset.filter(|charset| !OUR_CHARSETS.contains(charset)) {
                    found = Some(charset.to_owned());
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(found)
    }

    pub(super) fn as_integer(&self, expr: Expr, span: Span) -> Lowered {
        let expr = self.as_number(expr, span)?;
        let integral_literal = match &expr {
            Expr::Literal(ScalarValue::Float64(Some(value)), _) if value.fract() == 0.0 && value.abs() < 1e15 => {
                Some(*value as i64)
            }
            _ => None,
        };
        match (self.class(&expr)?, integral_literal) {
            (_, Some(value)) => Ok(Expr::from_literal(ScalarValue::Int64(Some(value)))),
            (Class::Integer, _) => match self.type_of(&expr)? {
                DataType::UInt64 => self.finish(number::saturated().call(vec![expr])),
                _ => self.finish(cast_to(expr, DataType::Int64)),
            },
            (Class::Decimal, _) => {
                self.refuse_quotient(&expr, span)?;
                self.refuse_chosen_sign(&expr, span)?;
                let whole = self.rounded(expr, 0, Rounding::HalfUp)?;
                self.finish(number::saturated().call(vec![whole]))
            }
            _ => Err(Refusal::new(span, format!("{} is not an integer", self.name_of_type(&expr)?))
                .hint("Write CAST(x AS SIGNED).")),
        }
    }

    /// What CASE and IF choose among BIGINT UNSIGNED and signed integers is a decimal of which MySQL reads the 64 bits as signed.
    fn refuse_chosen_sign(&self, expr: &Expr, span: Span) -> Result<(), Refusal> {
        let digits = number::digits(&self.type_of(expr)?).map_or(0, |(whole, _)| whole);
        match expr {
            Expr::Case(_) if digits >= BIGINT_UNSIGNED_DIGITS => {
                Err(Refusal::new(span, "what is chosen here may be more than a signed integer holds")
                    .hint("Write CAST(x AS SIGNED) around it."))
            }
            _ => Ok(()),
        }
    }

    /// A function of ours, of arguments that have its types.
    pub(super) fn kernel(&self, name: &str, args: Vec<Expr>) -> Lowered {
        match functions::meaning(name) {
            Some(Meaning::Kernel(function)) => self.finish(function.kernel().call(args)),
            _ => unreachable!("{name} is a function of ours"),
        }
    }

    fn call_direct(&self, name: &str, asts: &[&Ast], span: Span) -> Lowered {
        if let ("nullif", [value, other]) = (name, asts) {
            return self.null_if(value, other);
        }
        let mut args = asts.iter().map(|ast| self.lower(ast)).collect::<Result<Vec<Expr>, Refusal>>()?;
        // These hand their arguments through: what MySQL cannot read as a date is still what it is.
        if matches!(name, "coalesce" | "nvl") {
            let spans: Vec<Span> = asts.iter().map(|ast| ast.span()).collect();
            self.alike(&mut args, &spans)?;
            return self.chosen(self.invoke(name, args).map_err(|refusal| refusal.or_at(span))?);
        } else {
            args = args.into_iter().map(|arg| self.existing(arg)).collect::<Result<_, _>>()?;
        }
        self.invoke(name, args).map_err(|refusal| refusal.or_at(span))
    }

    pub(super) fn invoke(&self, name: &str, args: Vec<Expr>) -> Lowered {
        let implementation = functions::implementation(name)
            .ok_or_else(|| Refusal::new(Span::empty(), format!("{name}() is not built in")))?;
        Ok(Expr::ScalarFunction(ScalarFunction::new_udf(implementation, args)))
    }

    /// `None` if it does not take such arguments.
    fn rewritten(&self, rewrite: Rewrite, args: &[&Ast], span: Span) -> Option<Lowered> {
        let places = |args: &[&Ast]| match args {
            [] => Ok(0),
            [places] => self.literal_integer(places),
            _ => Ok(0),
        };
        Some(match (rewrite, args) {
            (Rewrite::If, [condition, then, otherwise]) => self.choice(condition, then, otherwise),
            (Rewrite::IsNull, [arg]) => self.maybe_null(arg).map(|expr| Expr::IsNull(Box::new(expr))),
            (Rewrite::Mod, [left, right]) => self.arithmetic(left, datafusion_expr::Operator::Modulo, right, span),
            (Rewrite::Abs, [arg]) => self.of_number(arg, number::absolute),
            (Rewrite::Sign, [arg]) => self.of_number(arg, number::sign),
            (Rewrite::Floor, [arg]) => self.number(arg).and_then(|expr| self.rounded(expr, 0, Rounding::Down)),
            (Rewrite::Ceiling, [arg]) => self.number(arg).and_then(|expr| self.rounded(expr, 0, Rounding::Up)),
            (Rewrite::Round, [arg, rest @ ..]) if rest.len() < 2 => {
                places(rest).and_then(|places| self.rounded(self.number(arg)?, places, Rounding::HalfUp))
            }
            (Rewrite::Truncate, [arg, places]) => self
                .literal_integer(places)
                .and_then(|places| self.rounded(self.number(arg)?, places, Rounding::TowardsZero)),
            (Rewrite::Format, [arg, places]) => {
                self.literal_integer(places).and_then(|places| self.formatted(arg, places.clamp(0, 30)))
            }
            (Rewrite::Hex, [arg]) => self.hexadecimal(arg),
            (Rewrite::Extreme { largest }, [_, _, ..]) => self.extreme(largest, args),
            (Rewrite::Field, [_, _, ..]) => self.field(args, span),
            (Rewrite::Sha2, [text, bits]) => self.literal_integer(bits).and_then(|bits| {
                let args = vec![self.argument(Parameter::Bytes, text)?];
                Ok(match hash::sha2(bits) {
                    Some(kernel) => kernel.call(args),
                    None => Expr::from_literal(ScalarValue::Utf8(None)),
                })
            }),
            (Rewrite::DateAdd, [date, by]) => self.date_plus(date, by, 1),
            (Rewrite::DateSub, [date, by]) => self.date_plus(date, by, -1),
            (Rewrite::DateDiff, [left, right]) => self.argument(Parameter::Date, left).and_then(|left| {
                let right = self.argument(Parameter::Date, right)?;
                Ok(date::date_difference().call(vec![left, right]))
            }),
            (Rewrite::TimestampAdd, [unit, amount, date]) => self.timestamp_add(unit, amount, date),
            (Rewrite::TimestampDiff, [unit, from, to]) => self.timestamp_difference(unit, from, to),
            (Rewrite::UnixTimestamp, [arg]) => self.argument(Parameter::Date, arg).map(|expr| {
                let fraction = match self.type_of(&expr) {
                    Ok(DataType::Date32) => 0,
                    _ => self.shown_fraction(&expr).unwrap_or(6),
                };
                date::unix_timestamp(fraction).call(vec![expr])
            }),
            (Rewrite::AddTime { forwards }, [time, by]) => self.add_time(time, by, forwards),
            (Rewrite::TimeDiff, [left, right]) => self.time_difference(left, right),
            (Rewrite::Timestamp, [date]) => self.timestamp(date, None),
            (Rewrite::Timestamp, [date, time]) => self.timestamp(date, Some(time)),
            (Rewrite::MakeTime, [hours, minutes, seconds]) => self.make_time(hours, minutes, seconds),
            (Rewrite::ConvertTz, [date, from, to]) => self.convert_zone(date, from, to),
            (Rewrite::GetFormat, [kind, place]) => self.format_of(kind, place),
            (Rewrite::Interval, [value, _, ..]) if args.len() <= 9 => self.interval_of(value, &args[1..]),
            (Rewrite::FromUnixtime, [seconds]) => self.of_seconds(date::from_unixtime(), seconds),
            (Rewrite::SecToTime, [seconds]) => self.of_seconds(date::sec_to_time(), seconds),
            (Rewrite::StrToDate, [text, format]) => self.string_to_date(text, format),
            (Rewrite::Regexp(function), [text, pattern, rest @ ..]) => {
                self.regexp(function, text, pattern, rest, span)?
            }
            _ => return None,
        })
    }

    fn choice(&self, condition: &Ast, then: &Ast, otherwise: &Ast) -> Lowered {
        let [then, otherwise] = self.alternatives(&[then, otherwise])?.try_into().expect("two expressions stay two");
        let branch = (Box::new(self.condition(condition)?), Box::new(then));
        self.chosen(Expr::Case(Case::new(None, vec![branch], Some(Box::new(otherwise)))))
    }

    /// The value, or NULL where both are equal.
    fn null_if(&self, value: &Ast, other: &Ast) -> Lowered {
        let exprs = self.comparable(&[value, other])?;
        let [left, right] = exprs.try_into().expect("two expressions stay two");
        let equal = self.compare(left, datafusion_expr::Operator::Eq, right.clone(), other.span())?;
        let equal = Box::new(self.finish(equal)?);
        let span = value.span();
        let value = self.lower(value)?;
        self.refuse_bit_as_choice(&value, span)?;
        let null = Box::new(Expr::from_literal(ScalarValue::try_new_null(&self.type_of(&value)?)?));
        let choice = Case::new(None, vec![(equal, null)], Some(Box::new(value.clone())));
        self.of_null_if(self.chosen(Expr::Case(choice))?, &value, &right)
    }

    /// A function of a number of any type.
    fn of_number(&self, ast: &Ast, kernel: fn(&DataType) -> Kernel) -> Lowered {
        let expr = self.long(self.number(ast)?)?;
        let expr = if self.class(&expr)? == Class::Float { self.double(expr)? } else { expr };
        self.finish(kernel(&self.type_of(&expr)?).call(vec![expr]))
    }

    fn literal_integer(&self, ast: &Ast) -> Result<i64, Refusal> {
        match self.lower(ast)? {
            Expr::Literal(ScalarValue::Int64(Some(value)), _) => Ok(value),
            _ => Err(Refusal::new(ast.span(), "this argument must be an integer literal")),
        }
    }

    fn formatted(&self, ast: &Ast, places: i64) -> Lowered {
        let expr = self.number(ast)?;
        let digits = match self.class(&expr)? {
            Class::Float => {
                let rounded = self.rounded(expr, places, Rounding::HalfUp)?;
                number::fixed().call(vec![rounded, Expr::from_literal(ScalarValue::Int64(Some(places)))])
            }
            _ => {
                let rounded = self.rounded(self.decimal(expr)?, places, Rounding::HalfUp)?;
                let (whole, _) = number::digits(&self.type_of(&rounded)?).unwrap_or((38, 0));
                let padded = cast_to(rounded, number::decimal_type(whole + places as i16, places as i8));
                number::text().call(vec![self.finish(padded)?])
            }
        };
        let kernel = Kernel::new("format", DataType::Utf8, string::format).keeps_nulls();
        self.finish(kernel.call(vec![self.finish(digits)?]))
    }

    fn hexadecimal(&self, ast: &Ast) -> Lowered {
        let expr = self.lower(ast)?;
        let arg = match self.class(&expr)? {
            Class::Integer | Class::Condition => self.long(self.as_number(expr, ast.span())?)?,
            Class::Decimal | Class::Float => {
                return Err(Refusal::new(ast.span(), format!("{} is not an integer", self.name_of_type(&expr)?))
                    .hint("Write CAST(x AS SIGNED)."));
            }
            _ => self.as_bytes(expr, ast.span())?,
        };
        self.finish(Kernel::new("hex", DataType::Utf8, encode::hex).keeps_nulls().call(vec![arg]))
    }

    fn extreme(&self, largest: bool, asts: &[&Ast]) -> Lowered {
        let exprs = asts.iter().map(|ast| self.lower(ast)).collect::<Result<Vec<Expr>, Refusal>>()?;
        let classes = exprs.iter().map(|expr| self.class(expr)).collect::<Result<Vec<Class>, Refusal>>()?;
        if exprs.iter().any(is_null) {
            return Err(Refusal::new(asts[0].span(), "the largest or smallest of NULL and others is NULL"));
        }
        let all = |is: fn(Class) -> bool| classes.iter().all(|class| is(*class));
        let args: Vec<Expr> = if all(Class::is_number) {
            if classes.contains(&Class::Float) {
                exprs.into_iter().map(|expr| self.double(expr)).collect::<Result<_, _>>()?
            } else {
                self.one_type(exprs)?
            }
        } else if all(|class| class == Class::Text) {
            exprs.into_iter().zip(asts).map(|(expr, ast)| self.as_text(expr, ast.span())).collect::<Result<_, _>>()?
        } else {
            let first = self.type_of(&exprs[0])?;
            for (expr, ast) in exprs.iter().zip(asts) {
                let alike = first.is_temporal() && self.type_of(expr)? == first;
                if !alike {
                    let message = format!("{} is not of one kind with the others", self.name_of_type(expr)?);
                    return Err(Refusal::new(ast.span(), message).hint("Write CAST(x AS type)."));
                }
            }
            exprs
        };
        let data_type = self.type_of(&args[0])?;
        if let Some(expr) = self.text_function(if largest { "greatest" } else { "least" }, &args, asts[0].span())? {
            return Ok(expr);
        }
        self.finish(number::extreme(largest, &data_type).call(args))
    }

    /// Integers and decimals as one type that holds them all.
    pub(super) fn one_type(&self, exprs: Vec<Expr>) -> Result<Vec<Expr>, Refusal> {
        let exprs = exprs.into_iter().map(|expr| self.long(expr)).collect::<Result<Vec<_>, _>>()?;
        let types = exprs.iter().map(|expr| self.type_of(expr)).collect::<Result<Vec<_>, _>>()?;
        if types.iter().all(|data_type| *data_type == types[0]) {
            return Ok(exprs);
        }
        let decimals = exprs.into_iter().map(|expr| self.decimal(expr)).collect::<Result<Vec<_>, _>>()?;
        let mut most = (1, 0);
        for decimal in &decimals {
            let (whole, scale) = number::digits(&self.type_of(decimal)?).unwrap_or((20, 0));
            most = (most.0.max(whole), most.1.max(scale));
        }
        let wide = number::decimal_type(most.0 + i16::from(most.1), most.1);
        decimals.into_iter().map(|decimal| self.finish(cast_to(decimal, wide.clone()))).collect()
    }

    fn field(&self, asts: &[&Ast], span: Span) -> Lowered {
        let exprs = asts.iter().map(|ast| self.lower(ast)).collect::<Result<Vec<Expr>, Refusal>>()?;
        let mut classes = Vec::new();
        for expr in &exprs {
            classes.push(self.class(expr)?);
        }
        let all = |wanted: Class| classes.iter().all(|class| *class == wanted || *class == Class::Null);
        let args: Vec<Expr> = if all(Class::Text) {
            exprs.into_iter().map(|expr| self.as_text(expr, span)).collect::<Result<_, _>>()?
        } else if all(Class::Integer) && !exprs.iter().any(|expr| matches!(self.type_of(expr), Ok(DataType::UInt64))) {
            exprs.into_iter().map(|expr| self.as_integer(expr, span)).collect::<Result<_, _>>()?
        } else {
            return Err(
                Refusal::new(span, "field() takes text only, or signed integers only").hint("Write CAST(x AS CHAR).")
            );
        };
        if let Some(expr) = self.text_function("field", &args, span)? {
            return Ok(expr);
        }
        self.finish(Kernel::new("field", DataType::Int64, string::field).call(args))
    }

    /// `None` if it takes no such arguments.
    fn regexp(&self, function: Regexp, text: &Ast, pattern: &Ast, rest: &[&Ast], span: Span) -> Option<Lowered> {
        let replacement = match (function, rest) {
            (Regexp::Replace, [replacement]) => Some(*replacement),
            (Regexp::Like | Regexp::Substr | Regexp::Instr, []) => None,
            (Regexp::Replace, []) => return None,
            _ => {
                return Some(Err(Refusal::new(span, "positions, occurrences and match types are not supported")));
            }
        };
        let replacement = replacement.map(|ast| self.literal_replacement(ast)).transpose();
        Some(replacement.and_then(|replacement| self.matched(function, text, pattern, replacement)))
    }

    pub(super) fn matched(&self, function: Regexp, text: &Ast, pattern: &Ast, replacement: Option<Expr>) -> Lowered {
        let text = self.argument(Parameter::Text, text)?;
        let pattern_span = pattern.span();
        let pattern = match self.lower(pattern)? {
            Expr::Literal(ScalarValue::Utf8(Some(pattern)), _) => pattern,
            _ => return Err(Refusal::new(pattern_span, "a regular expression must be a literal")),
        };
        let translated = regexp::translated(&pattern, function).map_err(|reason| {
            Refusal::new(pattern_span, format!("in this regular expression {reason}")).hint(
                "Allowed is what means the same everywhere: characters, classes, groups, |, repetitions, ^ and $.",
            )
        })?;
        let translated = match self.regexp_ignores_case(&text, &pattern, pattern_span)? {
            true => format!("(?i){translated}"),
            false => translated,
        };
        let pattern = Expr::from_literal(ScalarValue::Utf8(Some(translated)));
        let args = [text, pattern].into_iter().chain(replacement).collect();
        self.finish(regexp::kernel(function).call(args))
    }

    fn literal_replacement(&self, ast: &Ast) -> Lowered {
        let refusal = || Refusal::new(ast.span(), "the replacement must be a literal without $ and backslashes");
        let expr = self.lower(ast)?;
        match &expr {
            Expr::Literal(ScalarValue::Utf8(Some(text)), _) if !text.contains(['$', '\\']) => Ok(expr),
            _ => Err(refusal()),
        }
    }

    /// How many digits of a second MySQL shows of a date-time or time, as far as that is known.
    pub(super) fn shown_fraction(&self, expr: &Expr) -> Option<u8> {
        match expr {
            Expr::Alias(alias) => self.shown_fraction(&alias.expr),
            Expr::Column(column) => self.source(column.name())?.fraction,
            _ => {
                let (kernel, args) = Kernel::of(expr)?;
                match (kernel.name(), kernel.fraction()) {
                    (_, Some(fraction)) => Some(fraction),
                    ("plus_months" | "plus_days", _) => self.shown_fraction(&args[0]),
                    ("convert_tz", _) => self.shown_fraction(&args[0]),
                    ("time", _) => self.shown_fraction(&args[0]),
                    _ => None,
                }
            }
        }
    }

    fn reads_year_or_bit(&self, expr: &Expr) -> bool {
        expr.column_refs().iter().any(|column| {
            self.source(column.name()).is_some_and(|source| matches!(source.kind, Kind::Year | Kind::Bit))
        })
    }

    /// What a column is; nothing in particular for any other expression.
    pub(super) fn source_kind(&self, expr: &Expr) -> Kind {
        match expr {
            Expr::Column(column) => self.source(column.name()).map_or(Kind::Plain, |source| source.kind),
            Expr::Alias(alias) => self.source_kind(&alias.expr),
            _ => Kind::Plain,
        }
    }
}

fn not_as_text(span: Span, data_type: &DataType, hint: &str) -> Refusal {
    Refusal::new(span, format!("{} does not become text by itself", types::mysql_name(data_type))).hint(hint)
}

/// The unit of TIMESTAMPADD and TIMESTAMPDIFF, which is written as a name.
pub(super) fn unit_of(ast: &Ast) -> Result<date::Unit, Refusal> {
    let name = match ast {
        Ast::Identifier(name) => name.value.to_lowercase(),
        other => other.to_string().to_lowercase(),
    };
    date::Unit::named(&name).ok_or_else(|| Refusal::new(ast.span(), format!("{name} is not a unit of time")))
}

/// DATETIME as it is computed with.
pub(super) fn date_time() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}
