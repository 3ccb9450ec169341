//! Syntax tree to typed expression, node by node.
//!
//! DataFusion has a planner for this; this one replaces it, for three reasons. It is the list of what is allowed: syntax
//! that is not named here is refused, never guessed. It sees the types of both operands before they are coerced, so it can
//! follow MySQL or refuse where DataFusion would do something else in silence. And it knows the place of every node in
//! the text.
//!
//! Every node is coerced and its constants are folded as soon as its children are there.
//!
//! ```text
//! mod         every node, and what a name, a literal and a condition are
//! compare     =, IN, LIKE, CASE …: operands whose types must agree
//! arithmetic  + - * / % & << …
//! time        dates, and intervals that move them
//! json        documents, and what becomes a part of one
//! label       ENUM and SET as numbers
//! cast        CAST, CONVERT
//! calls       functions
//! ```

mod arithmetic;
mod calls;
mod cast;
mod compare;
mod json;
mod label;
mod text;
mod time;

use std::cell::Cell;
use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, DFSchemaRef, ScalarValue};
use datafusion_expr::expr::{Between, BinaryExpr, TryCast};
use datafusion_expr::{Cast, Expr, ExprSchemable, Operator};
use sqlparser::ast::{
    self, BinaryOperator, CastKind, CeilFloorKind, DateTimeField, Expr as Ast, Spanned, TrimWhereField, UnaryOperator,
    Value,
};
use sqlparser::tokenizer::Span;

use crate::error::{Refusal, nearest};
use crate::functions::kernel::Kernel;
use crate::functions::{Regexp, json as documents};
use crate::parse::{DEPTH_MAX, double_quotes};
use crate::plan::{Planner, is_arithmetic};
use crate::{ColumnSource, Kind, literal, types};

type Lowered = Result<Expr, Refusal>;

/// What an operand is, as far as the rules of comparing and computing go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Condition,
    Integer,
    Decimal,
    Float,
    Text,
    Json,
    Binary,
    Date,
    Timestamp,
    Time,
    Interval,
    Null,
    Other,
}

impl Class {
    fn is_number(self) -> bool {
        matches!(self, Class::Integer | Class::Decimal | Class::Float)
    }

    fn is_temporal(self) -> bool {
        matches!(self, Class::Date | Class::Timestamp)
    }
}

pub(crate) struct Lower<'a> {
    planner: &'a Planner,
    schema: &'a DFSchemaRef,
    depth: Cell<usize>,
}

impl<'a> Lower<'a> {
    pub(crate) fn new(planner: &'a Planner) -> Lower<'a> {
        Lower { planner, schema: planner.schema(), depth: Cell::new(0) }
    }

    pub(crate) fn lower(&self, ast: &Ast) -> Lowered {
        let span = ast.span();
        if self.depth.get() == DEPTH_MAX {
            let refusal = Refusal::new(span, format!("more than {DEPTH_MAX} operators in each other or in a row"));
            return Err(refusal.hint("Write a IN (1, 2, 3) for a = 1 OR a = 2 OR a = 3."));
        }
        self.depth.set(self.depth.get() + 1);
        let expr = self.lower_node(ast).and_then(|expr| self.finish(expr)).map_err(|refusal| refusal.or_at(span));
        self.depth.set(self.depth.get() - 1);
        expr
    }

    /// Coerces a node whose children are coerced, refuses conversions that would print values unlike MySQL, folds.
    fn finish(&self, expr: Expr) -> Lowered {
        // Arguments of our own have their types already: nothing below them is looked at once more.
        if let Some((_, args)) = Kernel::of(&expr) {
            let is_constant = args.iter().all(|arg| matches!(arg, Expr::Literal(..)));
            if !is_constant {
                return Ok(expr);
            }
            let folded = self.planner.fold(expr.clone())?;
            return self.folded(&expr, folded);
        }
        let expr = self.planner.coerce(expr)?;
        let mut refused = None;
        expr.apply(|node| {
            if let Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) = node {
                let from = expr.get_type(self.schema)?;
                refused = text_refusal(&from, field.data_type());
            }
            Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        match refused {
            Some((message, hint)) => Err(Refusal::new(Span::empty(), message).hint(hint)),
            None => self.planner.fold(expr),
        }
    }

    fn lower_node(&self, ast: &Ast) -> Lowered {
        let span = ast.span();
        match ast {
            Ast::Nested(inner) => self.lower(inner),
            Ast::Identifier(name) => self.column(name),
            Ast::CompoundIdentifier(_) => Err(Refusal::new(span, format!("{ast} names a table as well"))
                .hint("An expression sees one table; write the column's name alone.")),
            Ast::Value(value) => self.value(&value.value, value.span),
            Ast::TypedString(typed) => {
                // TIMESTAMP '…' is a literal without a zone, unlike a column of that type.
                let data_type = match self.cast_type(&typed.data_type, span)? {
                    DataType::Timestamp(..) => micros(None),
                    other => other,
                };
                let Value::SingleQuotedString(text) = &typed.value.value else {
                    return self.value(&typed.value.value, typed.value.span);
                };
                let value = cast_text(text, &data_type);
                value.map(Expr::from_literal).ok_or_else(|| not_a(typed.value.span, &data_type))
            }
            Ast::UnaryOp { op, expr } => self.unary(*op, expr, span),
            Ast::BinaryOp { left, op, right } => self.binary(left, op, right, span),
            Ast::IsNull(inner) => Ok(Expr::IsNull(Box::new(self.maybe_null(inner)?))),
            Ast::IsNotNull(inner) => Ok(Expr::IsNotNull(Box::new(self.maybe_null(inner)?))),
            Ast::IsTrue(inner) => Ok(Expr::IsTrue(Box::new(self.condition(inner)?))),
            Ast::IsNotTrue(inner) => Ok(Expr::IsNotTrue(Box::new(self.condition(inner)?))),
            Ast::IsFalse(inner) => Ok(Expr::IsFalse(Box::new(self.condition(inner)?))),
            Ast::IsNotFalse(inner) => Ok(Expr::IsNotFalse(Box::new(self.condition(inner)?))),
            Ast::IsUnknown(inner) => Ok(Expr::IsUnknown(Box::new(self.condition(inner)?))),
            Ast::IsNotUnknown(inner) => Ok(Expr::IsNotUnknown(Box::new(self.condition(inner)?))),
            Ast::Between { expr, negated, low, high } => {
                let exprs = self.comparable(&[expr, low, high])?;
                self.refuse_texts_beside_long_integers(&[expr, low, high], true)?;
                if let Some(between) = self.text_between(&exprs, *negated, span)? {
                    return Ok(between);
                }
                let [value, low, high] = exprs.try_into().expect("three expressions stay three");
                Ok(Expr::Between(Between::new(Box::new(value), *negated, Box::new(low), Box::new(high))))
            }
            Ast::InList { expr, list, negated } if row(expr).is_some() => {
                self.row_in(row(expr).unwrap_or_default(), list, *negated, span)
            }
            Ast::InList { expr, list, negated } => {
                let asts: Vec<&Ast> = std::iter::once(expr.as_ref()).chain(list).collect();
                let mut exprs = self.of_one_kind(&asts)?;
                self.refuse_signs_mixed_in(&exprs, span)?;
                self.refuse_texts_beside_integer(&exprs[0], list)?;
                let value = exprs.remove(0);
                if let Some(found) = self.text_in(&value, &exprs, *negated, span)? {
                    return Ok(found);
                }
                self.in_list(value, exprs, *negated, span)
            }
            Ast::Like { negated, any: false, expr, pattern, escape_char: None } => {
                self.like(expr, pattern, *negated, false)
            }
            Ast::ILike { negated, any: false, expr, pattern, escape_char: None } => {
                self.like(expr, pattern, *negated, true)
            }
            Ast::Like { negated, any: false, expr, pattern, escape_char: Some(escape) } => {
                self.like_with_escape(expr, pattern, &escape.value, *negated)
            }
            Ast::Like { .. } | Ast::ILike { .. } => Err(Refusal::new(span, "this form of LIKE is not supported")),
            Ast::RLike { negated, expr, pattern, .. } => {
                let matched = self.matched(Regexp::Like, expr, pattern, None)?;
                Ok(if *negated { Expr::Not(Box::new(matched)) } else { matched })
            }
            Ast::Case { operand, conditions, else_result, .. } => self.case(operand, conditions, else_result),
            Ast::Cast { kind, expr, data_type, array: false, format: None } => {
                self.cast(expr, data_type, !matches!(kind, CastKind::Cast | CastKind::DoubleColon), span)
            }
            Ast::Convert { expr, data_type: Some(data_type), charset: None, styles, .. } if styles.is_empty() => {
                self.cast(expr, data_type, false, span)
            }
            Ast::Convert { expr, data_type: None, charset: Some(charset), target_before_value, .. } => {
                let text = self.convert(expr, &charset.to_string().to_lowercase(), span)?;
                Ok(if *target_before_value { self.as_made(text) } else { text })
            }
            Ast::Convert { .. } => Err(Refusal::new(span, "this form of CONVERT is not supported")),
            Ast::Extract { field, expr, .. } => self.extracted(field, expr, span),
            Ast::Substring { expr, substring_from: Some(from), substring_for, .. } => {
                let args = [Some(expr), Some(from), substring_for.as_ref()];
                let args: Vec<&Ast> = args.into_iter().flatten().map(Box::as_ref).collect();
                self.call("substring", &args, span)
            }
            Ast::Trim { trim_where, trim_what, expr, trim_characters: None } => {
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                    Some(TrimWhereField::Both) | None => "trim",
                };
                let args: Vec<&Ast> = std::iter::once(expr.as_ref()).chain(trim_what.as_deref()).collect();
                self.call(name, &args, span)
            }
            Ast::Position { expr, r#in } => self.call("locate", &[expr, r#in], span),
            Ast::Ceil { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.call("ceil", &[expr], span)
            }
            Ast::Floor { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.call("floor", &[expr], span)
            }
            Ast::Interval(_) => Err(Refusal::new(span, "an interval is added to a date, or subtracted")),
            Ast::Function(function) => self.function(function, span),
            Ast::Subquery(_) | Ast::Exists { .. } | Ast::InSubquery { .. } => {
                Err(Refusal::new(span, "an expression sees one row, it has no sub-queries"))
            }
            Ast::MemberOf(member_of) => self.member_of(&member_of.value, &member_of.array),
            Ast::Collate { expr, collation } => self.collate(expr, collation, span),
            _ => Err(Refusal::new(span, format!("`{ast}` is not supported in an expression"))),
        }
    }

    fn class(&self, expr: &Expr) -> Result<Class, Refusal> {
        Ok(match types::plain(&expr.get_type(self.schema)?) {
            DataType::Boolean => Class::Condition,
            data_type if data_type.is_integer() => Class::Integer,
            data_type if data_type.is_decimal() => Class::Decimal,
            data_type if data_type.is_floating() => Class::Float,
            DataType::LargeUtf8 => Class::Json,
            DataType::Utf8 | DataType::Utf8View => Class::Text,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                Class::Binary
            }
            DataType::Date32 => Class::Date,
            DataType::Timestamp(_, _) => Class::Timestamp,
            DataType::Duration(_) => Class::Time,
            DataType::Interval(_) => Class::Interval,
            DataType::Null => Class::Null,
            _ => Class::Other,
        })
    }

    fn type_of(&self, expr: &Expr) -> Result<DataType, Refusal> {
        Ok(expr.get_type(self.schema)?)
    }

    fn name_of_type(&self, expr: &Expr) -> Result<String, Refusal> {
        Ok(types::mysql_name(&expr.get_type(self.schema)?))
    }

    fn column(&self, name: &ast::Ident) -> Lowered {
        if name.quote_style == Some('"') {
            return Err(double_quotes(name.span));
        }
        let index = self.planner.column_index(&name.value).ok_or_else(|| {
            let refusal = Refusal::new(name.span, format!("no column \"{}\" in this table", name.value));
            match nearest(&name.value, self.schema.fields().iter().map(|field| field.name().as_str())) {
                Some(nearest) => refusal.hint(format!("Did you mean \"{nearest}\"?")),
                None => refusal,
            }
        })?;
        let name = self.schema.field(index).name();
        let column = Expr::Column(Column::new_unqualified(name));
        match self.source(name).map(|source| source.kind) {
            Some(Kind::Json) => Ok(documents::document().call(vec![column])),
            _ => Ok(column),
        }
    }

    fn source(&self, column: &str) -> Option<&ColumnSource> {
        self.planner.source(column)
    }

    fn value(&self, value: &Value, span: Span) -> Lowered {
        let scalar = match value {
            Value::Number(text, _) => literal::number(text)
                .ok_or_else(|| Refusal::new(span, format!("{text} is not a number that MySQL could hold")))?,
            Value::SingleQuotedString(text) => ScalarValue::Utf8(Some(text.clone())),
            Value::HexStringLiteral(digits) => {
                let bytes = literal::hexadecimal(digits);
                ScalarValue::Binary(Some(bytes.ok_or_else(|| Refusal::new(span, "an odd number of hex digits"))?))
            }
            Value::Boolean(value) => ScalarValue::Boolean(Some(*value)),
            Value::Null => ScalarValue::Null,
            Value::DoubleQuotedString(_) => return Err(double_quotes(span)),
            Value::Placeholder(_) => return Err(Refusal::new(span, "nothing stands for the placeholder")),
            _ => return Err(Refusal::new(span, format!("the literal {value} is not supported"))),
        };
        Ok(Expr::from_literal(scalar))
    }

    fn unary(&self, op: UnaryOperator, ast: &Ast, span: Span) -> Lowered {
        match op {
            UnaryOperator::Not => Ok(Expr::Not(Box::new(self.condition(ast)?))),
            UnaryOperator::BangNot => Ok(Expr::Not(Box::new(self.condition(ast)?))),
            UnaryOperator::Minus | UnaryOperator::BitwiseNot if matches!(ast, Ast::BinaryOp { .. }) => Err(
                Refusal::new(span, format!("`{op}` stands before an operator that binds tighter here than in MySQL"))
                    .hint("Write parentheses."),
            ),
            UnaryOperator::BitwiseNot => self.bits("~", &[ast]),
            UnaryOperator::Minus => {
                if let Ast::Value(ast::ValueWithSpan { value: Value::Number(text, _), .. }) = ast {
                    return self.value(&Value::Number(format!("-{text}"), false), span);
                }
                self.negated(ast)
            }
            UnaryOperator::Plus => self.number(ast),
            _ => Err(Refusal::new(span, format!("the operator `{op}` is not supported"))),
        }
    }

    fn binary(&self, left: &Ast, op: &BinaryOperator, right: &Ast, span: Span) -> Lowered {
        let op = match op {
            BinaryOperator::And => return Ok(binary(self.condition(left)?, Operator::And, self.condition(right)?)),
            BinaryOperator::Or => return Ok(binary(self.condition(left)?, Operator::Or, self.condition(right)?)),
            BinaryOperator::Xor => {
                // Three-valued: NULL if either side is.
                return Ok(binary(self.condition(left)?, Operator::NotEq, self.condition(right)?));
            }
            BinaryOperator::Eq => Operator::Eq,
            BinaryOperator::NotEq => Operator::NotEq,
            BinaryOperator::Lt => Operator::Lt,
            BinaryOperator::LtEq => Operator::LtEq,
            BinaryOperator::Gt => Operator::Gt,
            BinaryOperator::GtEq => Operator::GtEq,
            BinaryOperator::Spaceship => Operator::IsNotDistinctFrom,
            BinaryOperator::Plus => return self.plus_or_minus(left, Operator::Plus, right, span),
            BinaryOperator::Minus => return self.plus_or_minus(left, Operator::Minus, right, span),
            BinaryOperator::Multiply => return self.arithmetic(left, Operator::Multiply, right, span),
            BinaryOperator::Modulo => return self.arithmetic(left, Operator::Modulo, right, span),
            BinaryOperator::Divide => return self.arithmetic(left, Operator::Divide, right, span),
            BinaryOperator::MyIntegerDivide => return self.whole_quotient(left, right, span),
            BinaryOperator::BitwiseAnd => return self.bits("&", &[left, right]),
            BinaryOperator::BitwiseOr => return self.bits("|", &[left, right]),
            BinaryOperator::BitwiseXor => return self.bits("^", &[left, right]),
            BinaryOperator::PGBitwiseShiftLeft => return self.bits("<<", &[left, right]),
            BinaryOperator::PGBitwiseShiftRight => return self.bits(">>", &[left, right]),
            BinaryOperator::Arrow => return self.call("json_extract", &[left, right], span),
            BinaryOperator::LongArrow => return self.unquoted_path(left, right, span),
            BinaryOperator::StringConcat => {
                return Err(Refusal::new(span, "`||` is OR in MySQL and concatenation elsewhere")
                    .hint("Write OR, or concat(a, b)."));
            }
            _ => return Err(Refusal::new(span, format!("the operator `{op}` is not supported"))),
        };
        if let (Some(left), Some(right)) = (row(left), row(right)) {
            return self.compare_rows(left, op, right, span);
        }
        let exprs = self.comparable(&[left, right])?;
        if op != Operator::IsNotDistinctFrom && exprs.iter().any(is_null) {
            return Err(
                Refusal::new(span, "a comparison with NULL is never true").hint("Write x IS NULL or x IS NOT NULL.")
            );
        }
        let [left, right] = exprs.try_into().expect("two expressions stay two");
        let left = self.beside_shown_type(left, op, &right);
        self.compare(left, op, right, span)
    }

    /// `x IS NULL`. Of a date that is never NULL, servers take a zero date for NULL, each in other places of WHERE.
    /// What is asked whether it IS NULL, or IS NOT NULL.
    fn maybe_null(&self, ast: &Ast) -> Lowered {
        let expr = self.lower(ast)?;
        if let Expr::Column(_) = &expr
            && self.class(&expr)?.is_temporal()
            && !expr.nullable(self.schema)?
        {
            let message =
                format!("whether a zero date of {ast} IS NULL, servers say differently: the column is NOT NULL");
            return Err(Refusal::new(ast.span(), message).hint("Write x < '0001-01-01' for zero dates."));
        }
        Ok(expr)
    }

    /// A condition, or a number: it is true where it is not zero.
    pub(crate) fn condition(&self, ast: &Ast) -> Lowered {
        let expr = self.labels_as_number(self.lower(ast)?)?;
        match self.class(&expr)? {
            Class::Condition => Ok(expr),
            Class::Null => Ok(Expr::from_literal(ScalarValue::Boolean(None))),
            Class::Float => self.finish(is_not_zero(self.without_negative_zero(expr)?)),
            class if class.is_number() => self.finish(is_not_zero(expr)),
            _ => Err(Refusal::new(ast.span(), format!("{} is not a condition", self.name_of_type(&expr)?))),
        }
    }
}

/// `Expr::Literal` without metadata.
trait FromLiteral {
    fn from_literal(value: ScalarValue) -> Expr;
}

impl FromLiteral for Expr {
    fn from_literal(value: ScalarValue) -> Expr {
        Expr::Literal(value, None)
    }
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

fn cast_to(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast(Cast::new(Box::new(expr), data_type))
}

fn try_cast_to(expr: Expr, data_type: DataType) -> Expr {
    Expr::TryCast(TryCast::new(Box::new(expr), data_type))
}

fn micros(zone: Option<&str>) -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, zone.map(Arc::from))
}

/// Numbers are conditions in MySQL.
fn is_not_zero(number: Expr) -> Expr {
    binary(number, Operator::NotEq, Expr::from_literal(ScalarValue::Int64(Some(0))))
}

/// The members of `(a, b)`.
fn row(ast: &Ast) -> Option<&[Ast]> {
    match ast {
        Ast::Tuple(members) => Some(members),
        _ => None,
    }
}

/// Whether a value is one of several, of which each may have digits of its own.
fn is_choice(expr: &Expr) -> bool {
    match expr {
        Expr::Case(_) => true,
        Expr::ScalarFunction(function) => {
            matches!(function.func.name(), "coalesce" | "nvl" | "greatest" | "least")
        }
        _ => false,
    }
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if value.is_null())
}

fn not_a(span: Span, data_type: &DataType) -> Refusal {
    let name = types::mysql_name(data_type);
    let refusal =
        Refusal::new(span, format!("this text is not {}{name}", if name.starts_with("a ") { "" } else { "a " }));
    match data_type {
        DataType::Date32 => refusal.hint("Dates are written '2024-02-29'; for zero dates write x < '0001-01-01'."),
        DataType::Timestamp(..) => {
            refusal.hint("Date-times are written '2024-02-29 23:59:59.123456'; for zero dates write x < '0001-01-01'.")
        }
        DataType::Duration(_) => refusal.hint("Times are written '23:59:59.123456'."),
        _ => refusal,
    }
}

/// Conversions to text that print unlike MySQL, and what to write instead.
fn text_refusal(from: &DataType, to: &DataType) -> Option<(String, &'static str)> {
    if !types::is_text(to) {
        return None;
    }
    let hint = match types::plain(from) {
        DataType::Timestamp(..) => "Write date_format(x, '%Y-%m-%d %H:%i:%s').",
        DataType::Float32 | DataType::Float64 => "Write CAST(CAST(x AS DECIMAL(20, 4)) AS CHAR).",
        DataType::Boolean => "Write CASE WHEN condition THEN 'yes' ELSE 'no' END.",
        DataType::Duration(_) => "Select the column itself.",
        _ => return None,
    };
    Some((format!("{} does not become text by itself", types::mysql_name(from)), hint))
}

/// What a literal means beside an operand of another type; `None` if it stays what it is.
fn convert_literal(value: &ScalarValue, beside: &DataType, span: Span) -> Result<Option<ScalarValue>, Refusal> {
    match (value, types::plain(beside)) {
        (ScalarValue::Utf8(Some(_)), data_type) if types::is_text(&data_type) => Ok(None),
        (ScalarValue::Utf8(Some(text)), data_type) => match convert_text(text, &data_type) {
            Some(converted) => Ok(Some(converted)),
            None => Err(not_a(span, &data_type)),
        },
        (ScalarValue::Date32(Some(days)), data_type @ DataType::Timestamp(..)) => {
            Ok(Some(literal::timestamp(*days, 0, &data_type)))
        }
        (ScalarValue::TimestampMicrosecond(Some(value), _), DataType::Timestamp(TimeUnit::Microsecond, zone)) => {
            Ok(Some(ScalarValue::TimestampMicrosecond(Some(*value), zone)))
        }
        (ScalarValue::Boolean(Some(value)), data_type) if data_type.is_integer() => {
            Ok(Some(ScalarValue::Int64(Some(i64::from(*value)))))
        }
        (ScalarValue::Int64(Some(value @ 0..=1)), DataType::Boolean) => {
            Ok(Some(ScalarValue::Boolean(Some(*value == 1))))
        }
        _ => Ok(None),
    }
}

fn convert_text(text: &str, data_type: &DataType) -> Option<ScalarValue> {
    match data_type {
        DataType::Date32 => match literal::date_time(text)? {
            (days, 0) => Some(ScalarValue::Date32(Some(days))),
            // MySQL compares a DATE with a date-time as date-times.
            (days, micros) => Some(literal::timestamp(days, micros, data_type)),
        },
        DataType::Timestamp(..) => {
            let (days, micros) = literal::date_time(text)?;
            Some(literal::timestamp(days, micros, data_type))
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            Some(ScalarValue::DurationMicrosecond(Some(literal::time_of_day(text)?)))
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            Some(ScalarValue::Binary(Some(text.as_bytes().to_vec())))
        }
        data_type if data_type.is_numeric() => literal::number(text.trim()),
        _ => None,
    }
}

/// A literal of exactly this type: the date of a date-time, where a comparison would keep its time.
fn cast_text(text: &str, data_type: &DataType) -> Option<ScalarValue> {
    match data_type {
        DataType::Date32 => Some(ScalarValue::Date32(Some(literal::date_time(text)?.0))),
        _ => convert_text(text, data_type),
    }
}

impl Planner {
    /// Evaluates what depends on no column, so that mistakes in constants are found with their place.
    fn fold(&self, expr: Expr) -> Lowered {
        let is_literal = |expr: &Expr| matches!(expr, Expr::Literal(..));
        let folded = expr.transform_up(|node| {
            let constant = match &node {
                Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_arithmetic(*op) => {
                    is_literal(left) && is_literal(right)
                }
                Expr::Cast(Cast { expr, .. }) => is_literal(expr),
                Expr::ScalarFunction(function) => Kernel::of(&node).is_some() && function.args.iter().all(is_literal),
                _ => false,
            };
            match constant {
                true => Ok(Transformed::yes(Expr::from_literal(self.evaluate_constant(&node)?))),
                false => Ok(Transformed::no(node)),
            }
        })?;
        Ok(folded.data)
    }
}
