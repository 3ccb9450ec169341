//! CAST, TRY_CAST and CONVERT.

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::Expr;
use sqlparser::ast::{self, ExactNumberInfo, Expr as Ast, Spanned};
use sqlparser::tokenizer::Span;

use super::{Class, FromLiteral, Lower, Lowered, cast_text, cast_to, micros, not_a, try_cast_to};
use crate::error::Refusal;
use crate::functions::kernel::Kernel;
use crate::functions::number::{self, Rounding};
use crate::functions::{date, string};
use crate::types;

impl Lower<'_> {
    /// CAST, to a type that may have so many digits of a second or so many characters.
    pub(super) fn cast(&self, ast: &Ast, to: &ast::DataType, try_cast: bool, span: Span) -> Lowered {
        let limit = limit(to);
        let to = self.cast_type(to, span)?;
        let expr = self.lower(ast)?;
        let span = ast.span();
        let expr = match self.label_number(&expr)? {
            Some(number) if to.is_numeric() => number,
            _ => expr,
        };
        if to.is_numeric() && self.is_label(&expr) {
            return Err(Refusal::new(span, "the labels of this column are not known as numbers")
                .hint("Write CAST(CAST(x AS CHAR) AS SIGNED) for the number that a label says."));
        }
        let class = self.class(&expr)?;
        if class == Class::Null {
            return self.finish(cast_to(expr, to));
        }
        let to_date = matches!(to, DataType::Date32 | DataType::Timestamp(..));
        match class {
            Class::Json => {
                let text = self.kernel("json_unquote", vec![expr])?;
                return match to {
                    DataType::Utf8 => Err(Refusal::new(span, "CAST of JSON to text keeps its quotes, ->> does not")
                        .hint("Write x->>'$.path', or json_unquote(x).")),
                    _ if to.is_numeric() => self.opaque(cast_to(text, to)),
                    _ => Err(no_cast(span, "JSON", &to)),
                };
            }
            _ if to == DataType::Utf8 => return self.cast_to_text(expr, limit, span),
            Class::Text if to_date => {
                if let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = &expr
                    && !try_cast
                    && !text.contains('.')
                {
                    let value = cast_text(text, &to);
                    return value.map(Expr::from_literal).ok_or_else(|| not_a(span, &to));
                }
                let read = self.finish(date::read(&to, try_cast).call(vec![expr]))?;
                return self.with_fraction(read, limit.unwrap_or(0));
            }
            Class::Text if to.is_floating() => {
                let read = self.finish(number::read_double(try_cast).call(vec![expr]))?;
                return if to == DataType::Float64 { Ok(read) } else { self.opaque(cast_to(read, to)) };
            }
            Class::Text if to == DataType::Binary => {
                let bytes = self.as_bytes(expr, span)?;
                return self.opaque(cast_to(bytes, to));
            }
            Class::Date if to == DataType::Date32 => return self.kernel("date", vec![expr]),
            Class::Timestamp if to == DataType::Date32 => return self.kernel("date", vec![expr]),
            Class::Date if to_date => return self.at_midnight(self.existing(expr)?),
            Class::Timestamp if to_date => {
                let moved = match self.type_of(&expr)? == to {
                    true => expr,
                    false => self.opaque(cast_to(self.existing(expr)?, to))?,
                };
                return self.with_fraction(moved, limit.unwrap_or(0));
            }
            Class::Date | Class::Timestamp | Class::Time => {
                let from = self.name_of_type(&expr)?;
                return Err(no_cast(span, &from, &to).hint("Write date_format(x, '%Y%m%d'), or unix_timestamp(x)."));
            }
            _ if to_date => {
                let from = self.name_of_type(&expr)?;
                return Err(no_cast(span, &from, &to).hint("Write str_to_date(CAST(x AS CHAR), '%Y%m%d')."));
            }
            Class::Float if to.is_decimal() => {
                let double = self.double(expr)?;
                return self.finish(number::decimal_of_double(&to, try_cast).call(vec![double]));
            }
            Class::Decimal if to.is_floating() => {
                let double = self.double(expr)?;
                return if to == DataType::Float64 { Ok(double) } else { self.opaque(cast_to(double, to)) };
            }
            // MySQL rounds where the kernels would cut off.
            Class::Decimal if to.is_integer() => {
                self.refuse_quotient(&expr, span)?;
                let whole = self.rounded(expr, 0, Rounding::HalfUp)?;
                let wide = if to.is_unsigned_integer() { DataType::UInt64 } else { DataType::Int64 };
                let integer = self.finish(number::integer_of_decimal(&wide, try_cast).call(vec![whole]))?;
                return match to == wide {
                    true => Ok(integer),
                    false => self.opaque(if try_cast { try_cast_to(integer, to) } else { cast_to(integer, to) }),
                };
            }
            Class::Float if to.is_integer() => {
                let whole = self.rounded(expr, 0, Rounding::HalfUp)?;
                let whole = self.double(whole)?;
                // MySQL makes signed integers of doubles first: the largest of them of all that is larger.
                let whole = self.finish(number::integer_of_double(try_cast).call(vec![whole]))?;
                return match to == DataType::Int64 {
                    true => Ok(whole),
                    false => self.opaque(if try_cast { try_cast_to(whole, to) } else { cast_to(whole, to) }),
                };
            }
            // The same 64 bits.
            Class::Integer if !try_cast && matches!(to, DataType::Int64 | DataType::UInt64) => {
                let long = self.long(expr.clone())?;
                if self.type_of(&long)? != to {
                    return self.finish(number::same_bits(&to).call(vec![long]));
                }
            }
            _ => {}
        }
        self.opaque(if try_cast { try_cast_to(expr, to) } else { cast_to(expr, to) })
    }

    /// MySQL rounds a quotient where it is computed, but not where it makes an integer of it at once.
    pub(super) fn refuse_quotient(&self, expr: &Expr, span: Span) -> Result<(), Refusal> {
        match Kernel::of(expr) {
            Some((kernel, _)) if kernel.name() == "/" => {
                Err(Refusal::new(span, "how a quotient is rounded to an integer is not clear")
                    .hint("Write a DIV b, or round(a / b)."))
            }
            _ => Ok(()),
        }
    }

    fn cast_to_text(&self, expr: Expr, limit: Option<u8>, span: Span) -> Lowered {
        let text = match self.class(&expr)? {
            Class::Binary => return self.convert_bytes(expr),
            // Text of any character set becomes text of ours.
            Class::Text => {
                let text = self.as_text(expr, span)?;
                self.finish(converted().call(vec![text]))?
            }
            _ => self.as_text(expr, span)?,
        };
        let text = match limit {
            Some(limit) => {
                self.kernel("left", vec![text, Expr::from_literal(ScalarValue::Int64(Some(limit.into())))])?
            }
            None => text,
        };
        Ok(self.as_converted(text))
    }

    /// `CONVERT(x USING charset)`: only to text as we have it.
    pub(super) fn convert(&self, ast: &Ast, charset: &str, span: Span) -> Lowered {
        if !matches!(charset, "utf8mb4" | "utf8mb3" | "utf8") {
            return Err(Refusal::new(span, format!("text is not converted to {charset}")).hint("Write USING utf8mb4."));
        }
        let expr = self.lower(ast)?;
        match self.class(&expr)? {
            Class::Binary => self.convert_bytes(expr),
            _ => {
                let text = self.as_text(expr, ast.span())?;
                self.finish(converted().call(vec![text]))
            }
        }
    }

    fn convert_bytes(&self, bytes: Expr) -> Lowered {
        self.finish(Kernel::new("text_of_bytes", DataType::Utf8, string::text_of_bytes).keeps_nulls().call(vec![bytes]))
    }

    /// A date-time rounded to so many digits of a second.
    fn with_fraction(&self, expr: Expr, fraction: u8) -> Lowered {
        let data_type = self.type_of(&expr)?;
        if data_type == DataType::Date32 {
            return Ok(expr);
        }
        let unit = Expr::from_literal(ScalarValue::Int64(Some(10i64.pow(u32::from(6 - fraction.min(6))))));
        self.finish(date::rounded(&data_type).shows(fraction).call(vec![expr, unit]))
    }

    pub(super) fn cast_type(&self, data_type: &ast::DataType, span: Span) -> Result<DataType, Refusal> {
        use ast::DataType as Sql;
        let decimal = |precision: u64, scale: i64| match (u8::try_from(precision), i8::try_from(scale)) {
            (Ok(precision @ 1..=38), Ok(scale)) if (0..=30).contains(&scale) => {
                Ok(DataType::Decimal128(precision, scale))
            }
            (Ok(precision @ 39..=65), Ok(scale)) if (0..=30).contains(&scale) => {
                Ok(DataType::Decimal256(precision, scale))
            }
            _ => Err(Refusal::new(span, "DECIMAL has at most 65 digits, at most 30 of them after the point")),
        };
        Ok(match data_type {
            Sql::Signed | Sql::SignedInteger | Sql::BigInt(_) => DataType::Int64,
            Sql::Unsigned | Sql::UnsignedInteger | Sql::BigIntUnsigned(_) => DataType::UInt64,
            Sql::TinyInt(_) => DataType::Int8,
            Sql::SmallInt(_) => DataType::Int16,
            Sql::Int(_) | Sql::Integer(_) => DataType::Int32,
            Sql::TinyIntUnsigned(_) => DataType::UInt8,
            Sql::SmallIntUnsigned(_) => DataType::UInt16,
            Sql::IntUnsigned(_) | Sql::IntegerUnsigned(_) => DataType::UInt32,
            Sql::Decimal(info) | Sql::Numeric(info) | Sql::Dec(info) => match info {
                ExactNumberInfo::None => decimal(10, 0)?,
                ExactNumberInfo::Precision(precision) => decimal(*precision, 0)?,
                ExactNumberInfo::PrecisionAndScale(precision, scale) => decimal(*precision, *scale)?,
            },
            Sql::Float(ExactNumberInfo::None) | Sql::Real => DataType::Float32,
            Sql::Double(ExactNumberInfo::None) | Sql::DoublePrecision => DataType::Float64,
            Sql::Char(_) | Sql::Varchar(_) | Sql::Text if limit(data_type) != Some(u8::MAX) => DataType::Utf8,
            Sql::Char(Some(_)) | Sql::Varchar(Some(_)) => {
                return Err(Refusal::new(span, "CAST to text of so many characters is not supported")
                    .hint("Write left(CAST(x AS CHAR), n)."));
            }
            Sql::Binary(None) | Sql::Varbinary(None) | Sql::Blob(None) => DataType::Binary,
            Sql::Date => DataType::Date32,
            Sql::Datetime(None | Some(0..=6)) => micros(None),
            // A TIMESTAMP of MySQL is a point in time; everything here is in UTC.
            Sql::Timestamp(None | Some(0..=6), ast::TimezoneInfo::None) => micros(Some("+00:00")),
            Sql::Time(..) => return Err(Refusal::new(span, "CAST to TIME is not supported").hint("Write time(x).")),
            _ => return Err(Refusal::new(span, format!("the type {data_type} is not supported"))),
        })
    }

    /// A cast that means something. The optimizer would take `CAST(x AS SIGNED) = 11` for `x = 11`, as if casts did not
    /// round or fail; it does not look behind an alias.
    pub(super) fn opaque(&self, cast: Expr) -> Lowered {
        match self.finish(cast)? {
            literal @ Expr::Literal(..) => Ok(literal),
            cast => Ok(cast.alias("cast")),
        }
    }
}

/// The digits of a second that a type has, or the characters; 255 stands for more.
fn limit(data_type: &ast::DataType) -> Option<u8> {
    use ast::DataType as Sql;
    match data_type {
        Sql::Datetime(fraction) | Sql::Timestamp(fraction, _) => {
            fraction.and_then(|fraction| u8::try_from(fraction).ok())
        }
        Sql::Char(Some(length)) | Sql::Varchar(Some(length)) => match length {
            ast::CharacterLength::IntegerLength { length, unit: None } => {
                Some(u8::try_from(*length).unwrap_or(u8::MAX))
            }
            _ => Some(u8::MAX),
        },
        _ => None,
    }
}

/// Text as it is; its bytes are those that we have.
fn converted() -> Kernel {
    Kernel::new("convert", DataType::Utf8, |call| Ok(std::sync::Arc::clone(call.array(0)))).keeps_nulls()
}

fn no_cast(span: Span, from: &str, to: &DataType) -> Refusal {
    Refusal::new(span, format!("{from} does not become {}", types::mysql_name(to)))
}
