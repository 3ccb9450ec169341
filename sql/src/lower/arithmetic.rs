//! Operators over numbers: which type both sides are brought to, and which kernel follows.
//!
//! ```text
//! any DOUBLE or FLOAT    both as DOUBLE
//! any DECIMAL, or `/`    both as DECIMAL
//! else                   BIGINT, or BIGINT UNSIGNED if one of them is
//! ```

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::{Expr, Operator};
use sqlparser::ast::{Expr as Ast, Spanned};
use sqlparser::tokenizer::Span;

use super::{Class, FromLiteral, Lower, Lowered, cast_to};
use crate::error::Refusal;
use crate::functions::kernel::Kernel;
use crate::functions::number::{self, Rounding};
use crate::{literal, types};

/// Of a decimal before the point, so that FLOOR of it is a BIGINT.
const BIGINT_DIGITS: i16 = 17;

impl Lower<'_> {
    pub(super) fn number(&self, ast: &Ast) -> Lowered {
        self.as_number(self.lower(ast)?, ast.span())
    }

    /// A number, a condition as 1 or 0, or a text literal that is a number (a double, as in MySQL).
    pub(super) fn as_number(&self, expr: Expr, span: Span) -> Lowered {
        let expr = self.labels_as_number(expr)?;
        match self.class(&expr)? {
            class if class.is_number() => Ok(expr),
            Class::Null => Ok(Expr::from_literal(ScalarValue::Int64(None))),
            Class::Condition => self.finish(cast_to(expr, DataType::Int64)),
            Class::Text if let Some(number) = text_number(&expr) => Ok(Expr::from_literal(number)),
            _ => Err(Refusal::new(span, format!("{} is not a number", self.name_of_type(&expr)?))
                .hint("Write CAST(x AS DECIMAL(20, 4)) or CAST(x AS SIGNED).")),
        }
    }

    pub(super) fn arithmetic(&self, left: &Ast, op: Operator, right: &Ast, span: Span) -> Lowered {
        self.compute(self.number(left)?, op, self.number(right)?, span)
    }

    pub(super) fn compute(&self, left: Expr, op: Operator, right: Expr, span: Span) -> Lowered {
        let kinds = (self.class(&left)?, self.class(&right)?);
        let expr = match kinds {
            (Class::Float, _) | (_, Class::Float) => {
                let args = vec![self.double(left)?, self.double(right)?];
                number::of_doubles(op).call(args)
            }
            (Class::Decimal, _) | (_, Class::Decimal) => return self.of_decimals(left, op, right, span),
            _ if op == Operator::Divide => return self.of_decimals(left, op, right, span),
            _ => {
                let (left, right) = (self.long(left)?, self.long(right)?);
                let kernel = number::of_integers(op, &self.type_of(&left)?, &self.type_of(&right)?);
                kernel.call(vec![left, right])
            }
        };
        self.finish(expr)
    }

    fn of_decimals(&self, left: Expr, op: Operator, right: Expr, span: Span) -> Lowered {
        let computed = (is_computed(&left), is_computed(&right));
        let (left, right) = (self.decimal(left)?, self.decimal(right)?);
        let (left_type, right_type) = (self.type_of(&left)?, self.type_of(&right)?);
        let plan = number::of_decimals(op, &left_type, &right_type);
        if op == Operator::Divide && !number::divides_alike((&left_type, computed.0), (&right_type, computed.1)) {
            return Err(Refusal::new(span, "how many digits MySQL computes of this quotient depends on the row")
                .hint("Write CAST(x AS DECIMAL(20, 4)) for what is computed in it."));
        }
        let of_type = |expr: Expr, from: DataType, to: DataType| match from == to {
            true => Ok(expr),
            false => self.finish(cast_to(expr, to)),
        };
        let args = vec![of_type(left, left_type, plan.left)?, of_type(right, right_type, plan.right)?];
        self.finish(plan.kernel.call(args))
    }

    /// `a DIV b`: the quotient's whole part. MySQL computes it in decimals unless both are integers.
    pub(super) fn whole_quotient(&self, left: &Ast, right: &Ast, span: Span) -> Lowered {
        let (left, right) = (self.number(left)?, self.number(right)?);
        let unsigned = self.is_unsigned(&left) || self.is_unsigned(&right);
        match (self.class(&left)?, self.class(&right)?) {
            (Class::Float, _) | (_, Class::Float) => {
                Err(Refusal::new(span, "DIV divides integers and decimals").hint("Write CAST(a AS SIGNED) DIV b."))
            }
            (Class::Integer, Class::Integer) => self.compute(left, Operator::IntegerDivide, right, span),
            _ => {
                let (left, right) = (self.decimal(left)?, self.decimal(right)?);
                let plan = number::whole_quotient(&self.type_of(&left)?, &self.type_of(&right)?, unsigned);
                let args = vec![self.finish(cast_to(left, plan.left))?, self.finish(cast_to(right, plan.right))?];
                self.finish(plan.kernel.call(args))
            }
        }
    }

    /// Whether MySQL takes a number for one of a type without a sign, as it does decimals that are computed of such numbers.
    fn is_unsigned(&self, expr: &Expr) -> bool {
        let Ok(data_type) = self.type_of(expr) else { return false };
        match (expr, Kernel::of(expr)) {
            _ if !data_type.is_decimal() => types::plain(&data_type).is_unsigned_integer(),
            (Expr::Cast(cast), _) => self.is_unsigned(&cast.expr),
            (_, Some((kernel, [value]))) => kernel.name() == "abs" && self.is_unsigned(value),
            (_, Some((kernel, [left, right]))) => match kernel.name() {
                "%" => self.is_unsigned(left),
                "+" | "-" | "*" | "/" => self.is_unsigned(left) && self.is_unsigned(right),
                _ => false,
            },
            _ => false,
        }
    }

    /// MySQL computes with 64 bits.
    pub(super) fn long(&self, expr: Expr) -> Lowered {
        let wide = match types::plain(&self.type_of(&expr)?) {
            DataType::Int64 | DataType::UInt64 => return Ok(expr),
            data_type if data_type.is_unsigned_integer() => DataType::UInt64,
            data_type if data_type.is_integer() => DataType::Int64,
            _ => return Ok(expr),
        };
        self.finish(cast_to(expr, wide))
    }

    /// A number as the decimal that has all its digits.
    pub(super) fn decimal(&self, expr: Expr) -> Lowered {
        let data_type = self.type_of(&expr)?;
        if data_type.is_decimal() {
            return Ok(expr);
        }
        let digits = match (&expr, &data_type) {
            (Expr::Literal(ScalarValue::Int64(Some(value)), _), _) => value.unsigned_abs().to_string().len(),
            (_, DataType::Int8 | DataType::UInt8) => 3,
            (_, DataType::Int16 | DataType::UInt16) => 5,
            (_, DataType::Int32 | DataType::UInt32) => 10,
            (_, DataType::UInt64) => 20,
            _ => 19,
        };
        self.finish(cast_to(expr, number::decimal_type(digits as i16, 0)))
    }

    pub(super) fn integer(&self, ast: &Ast) -> Lowered {
        let expr = self.lower(ast)?;
        let expr = match self.label_number(&expr)? {
            Some(number) => number,
            None => self.long(self.as_number(expr, ast.span())?)?,
        };
        match self.class(&expr)? {
            Class::Integer => Ok(expr),
            _ => Err(Refusal::new(ast.span(), format!("{} is not an integer", self.name_of_type(&expr)?))
                .hint("Write CAST(x AS SIGNED).")),
        }
    }

    /// The nearest double; [`number::double`] tells why DECIMAL is no cast.
    pub(super) fn double(&self, expr: Expr) -> Lowered {
        match self.type_of(&expr)? {
            DataType::Float64 => Ok(expr),
            data_type if data_type.is_decimal() => self.finish(number::double().call(vec![expr])),
            _ => self.finish(cast_to(expr, DataType::Float64)),
        }
    }

    /// The kernels of comparing tell -0 from 0.
    pub(super) fn without_negative_zero(&self, expr: Expr) -> Lowered {
        let expr = self.double(expr)?;
        self.finish(number::without_negative_zero().call(vec![expr]))
    }

    /// `-x`.
    pub(super) fn negated(&self, ast: &Ast) -> Lowered {
        let expr = self.long(self.number(ast)?)?;
        let expr = match (&expr, self.class(&expr)?) {
            (_, Class::Float) => self.double(expr)?,
            // For MySQL a negative constant with a minus before it is a decimal.
            (Expr::Literal(ScalarValue::Int64(Some(..0)), _), _) => self.decimal(expr)?,
            _ => expr,
        };
        let data_type = self.type_of(&expr)?;
        self.finish(number::negated(&data_type).call(vec![expr]))
    }

    pub(super) fn bits(&self, op: &'static str, operands: &[&Ast]) -> Lowered {
        let args = operands.iter().map(|ast| self.integer(ast)).collect::<Result<Vec<Expr>, Refusal>>()?;
        let kernel = number::of_bits(op).expect("an operator that `lower_node` names");
        self.finish(kernel.call(args))
    }

    /// A number with so many places, which is what ROUND, TRUNCATE, FLOOR and CEILING give.
    pub(super) fn rounded(&self, expr: Expr, places: i64, rounding: Rounding) -> Lowered {
        let expr = self.long(expr)?;
        let expr = if self.class(&expr)? == Class::Float { self.double(expr)? } else { expr };
        let data_type = self.type_of(&expr)?;
        let places_arg = Expr::from_literal(ScalarValue::Int64(Some(places)));
        let kernel = number::rounded(&data_type, places, rounding);
        // One digit more may be more than 128 bits hold.
        let is_unsigned = self.is_unsigned(&expr);
        let expr = match (&data_type, kernel.returns()) {
            (DataType::Decimal128(precision, scale), DataType::Decimal256(..)) => {
                self.finish(cast_to(expr, DataType::Decimal256(*precision, *scale)))?
            }
            _ => expr,
        };
        let rounded = self.finish(kernel.call(vec![expr, places_arg]))?;
        // FLOOR and CEILING of a decimal are integers, if these hold all that it may be.
        let fits = number::digits(&data_type).is_some_and(|(whole, _)| whole <= BIGINT_DIGITS);
        match rounding {
            Rounding::Down | Rounding::Up if fits => {
                self.finish(cast_to(rounded, if is_unsigned { DataType::UInt64 } else { DataType::Int64 }))
            }
            _ => Ok(rounded),
        }
    }
}

/// Whether a value is neither a column nor a literal, as far as digits go.
pub(super) fn is_computed(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) | Expr::Literal(..) => false,
        Expr::Cast(cast) => is_computed(&cast.expr),
        // What CAST gives has all its digits.
        Expr::Alias(_) => false,
        _ => true,
    }
}

/// What a text literal is as a number, if all of it is one.
fn text_number(expr: &Expr) -> Option<ScalarValue> {
    let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = expr else { return None };
    let text = text.trim_matches(' ');
    literal::number(text)?;
    text.parse::<f64>().ok().map(|value| ScalarValue::Float64(Some(value)))
}
