//! JSON: documents, what becomes a part of one, and what is looked for in one.

use arrow::datatypes::{DataType, i256};
use datafusion_common::ScalarValue;
use datafusion_expr::{Expr, Operator};
use sqlparser::ast::{Expr as Ast, Spanned, UnaryOperator};
use sqlparser::tokenizer::Span;

use super::arithmetic::is_computed;
use super::{Class, FromLiteral, Lower, Lowered, is_choice};
use crate::Kind;
use crate::error::Refusal;
use crate::functions::kernel::Kernel;
use crate::functions::{date, json};

impl Lower<'_> {
    pub(super) fn as_document(&self, expr: Expr, span: Span) -> Lowered {
        match self.class(&expr)? {
            Class::Json => Ok(expr),
            Class::Null => Ok(Expr::from_literal(ScalarValue::LargeUtf8(None))),
            class => {
                let hint = match class {
                    Class::Text => {
                        "Functions of JSON take columns of type JSON. MariaDB has none: what is JSON there is text, also to them."
                    }
                    _ => "Functions of JSON take columns of type JSON, and what other such functions return.",
                };
                Err(Refusal::new(span, format!("{} is not a JSON column", self.name_of_type(&expr)?)).hint(hint))
            }
        }
    }

    /// A value as a part of JSON, and how it is written; NULL stays NULL.
    pub(super) fn as_json(&self, expr: Expr, ast: &Ast) -> Lowered {
        let span = ast.span();
        let class = self.class(&expr)?;
        let refuse = |message: String, hint: &str| Err(Refusal::new(span, message).hint(hint));
        match class {
            Class::Json => Ok(expr),
            Class::Null => Ok(Expr::from_literal(ScalarValue::LargeUtf8(None))),
            // What chooses among conditions gives 1 and 0.
            Class::Condition if is_choice(&expr) => {
                refuse("whether this is a number or a boolean is not clear".to_owned(), "Write CAST(x AS SIGNED).")
            }
            Class::Condition => self.finish(json::change::of_value().call(vec![expr])),
            Class::Integer if is_strcmp(&expr) => {
                refuse("for JSON, strcmp() gives a boolean".to_owned(), "Write CAST(strcmp(a, b) AS SIGNED).")
            }
            Class::Integer | Class::Decimal if self.source_kind(&expr) == Kind::Bit => {
                refuse("BIT is bytes in JSON".to_owned(), "Write x + 0.")
            }
            Class::Integer if self.source_kind(&expr) == Kind::Year => {
                let digits = self.finish(crate::functions::number::text().call(vec![expr]))?;
                self.finish(json::change::of_digits().call(vec![digits]))
            }
            Class::Decimal if is_computed(&expr) || is_zero(&expr) && !is_written(ast) => refuse(
                "of a computed zero, JSON does not show all digits".to_owned(),
                "Write CAST(x AS DECIMAL(20, 4)).",
            ),
            Class::Integer | Class::Decimal => {
                let digits = self.as_text(expr, span)?;
                self.finish(json::change::of_digits().call(vec![digits]))
            }
            Class::Text => {
                let text = self.as_text(expr, span)?;
                self.finish(json::change::of_value().call(vec![text]))
            }
            Class::Date | Class::Timestamp | Class::Time => {
                let digits = if class == Class::Date { 0 } else { 6 };
                let text = self.finish(date::text(digits).call(vec![expr]))?;
                self.finish(json::change::of_value().call(vec![text]))
            }
            Class::Float => refuse(
                "how DOUBLE prints in JSON is not the same everywhere".to_owned(),
                "Write CAST(x AS DECIMAL(20, 4)).",
            ),
            Class::Binary | Class::Interval | Class::Other => {
                refuse(format!("{} does not become JSON", self.name_of_type(&expr)?), "Write hex(x), or to_base64(x).")
            }
        }
    }

    /// `document ->> path`.
    pub(super) fn unquoted_path(&self, document: &Ast, path: &Ast, span: Span) -> Lowered {
        let found = self.finish(self.call("json_extract", &[document, path], span)?)?;
        self.kernel("json_unquote", vec![found])
    }

    /// `value MEMBER OF (document)`.
    pub(super) fn member_of(&self, value: &Ast, document: &Ast) -> Lowered {
        let wanted = self.lower(value)?;
        if !matches!(self.class(&wanted)?, Class::Integer | Class::Decimal | Class::Text | Class::Null) {
            let message = format!("{} is not looked for in JSON", self.name_of_type(&wanted)?);
            return Err(Refusal::new(value.span(), message).hint("Write a number or a text."));
        }
        let wanted = self.as_json(wanted, value)?;
        let document = self.as_document(self.lower(document)?, document.span())?;
        self.finish(json::member_of().call(vec![wanted, document]))
    }

    /// JSON_TYPE beside the name of a type that the text shows: no row fails.
    pub(super) fn beside_shown_type(&self, expr: Expr, op: Operator, other: &Expr) -> Expr {
        let (Some((kernel, args)), Some(kind)) = (Kernel::of(&expr), crate::text::literal_text(other)) else {
            return expr;
        };
        let is_shown = kernel.name() == "json_type"
            && matches!(op, Operator::Eq | Operator::NotEq | Operator::IsNotDistinctFrom)
            && json::look::is_shown(kind);
        match is_shown {
            true => {
                let kernel = Kernel::new("json_shown_type", DataType::Utf8, json::look::shown_kind).keeps_nulls();
                kernel.call(args.to_vec())
            }
            false => expr,
        }
    }
}

fn is_zero(expr: &Expr) -> bool {
    use ScalarValue::{Decimal128, Decimal256};
    match expr {
        Expr::Literal(Decimal128(Some(value), ..), _) => *value == 0,
        Expr::Literal(Decimal256(Some(value), ..), _) => *value == i256::ZERO,
        _ => false,
    }
}

/// Whether a constant stands there as it is, or with its digits: what is computed of constants is one, too.
fn is_written(ast: &Ast) -> bool {
    match ast {
        Ast::Value(_) | Ast::Cast { .. } | Ast::Convert { .. } => true,
        Ast::Nested(inner) => is_written(inner),
        Ast::UnaryOp { op: UnaryOperator::Plus | UnaryOperator::Minus, expr } => matches!(**expr, Ast::Value(_)),
        _ => false,
    }
}

fn is_strcmp(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => alias.name == "strcmp",
        _ => Kernel::of(expr).is_some_and(|(kernel, _)| kernel.name() == "strcmp"),
    }
}
