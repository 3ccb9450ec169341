//! Syntax tree to typed expression, node by node.
//!
//! DataFusion has a planner for this; this one replaces it, for three reasons. It is the list of what is allowed: syntax
//! that is not named here is refused, never guessed. It sees the types of both operands before they are coerced, so it can
//! follow MySQL or refuse where DataFusion would do something else in silence. And it knows the place of every node in
//! the text.
//!
//! Every node is coerced and its constants are folded as soon as its children are there.
//!
//! Dates that do not exist ('0000-00-00', '2010-00-10') reach us as numbers far below every date. Comparisons see
//! them as that. Functions, arithmetic and casts see NULL instead ([`Lower::existing`]), because their kernels would
//! overflow or make up a date.

use std::cell::Cell;
use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalMonthDayNano, TimeUnit};
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, DFSchemaRef, ScalarValue};
use datafusion_expr::expr::{Between, BinaryExpr, Case, InList, Like, ScalarFunction, TryCast};
use datafusion_expr::{Cast, Expr, ExprSchemable, Operator};
use sqlparser::ast::{
    self, BinaryOperator, CastKind, CeilFloorKind, DateTimeField, ExactNumberInfo, Expr as Ast, FunctionArg,
    FunctionArgExpr, FunctionArguments, ObjectNamePart, Spanned, TrimWhereField, UnaryOperator, Value,
};
use sqlparser::tokenizer::Span;

use crate::error::{Refusal, nearest};
use crate::functions::{self, Function, Rewrite};
use crate::parse::{DEPTH_MAX, double_quotes};
use crate::plan::{Planner, is_arithmetic};
use crate::{literal, types};

mod text;

type Lowered = Result<Expr, Refusal>;

/// What an operand is, as far as the rules of comparing and computing go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Condition,
    Integer,
    Decimal,
    Float,
    Text,
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
        let expr = self.planner.coerce(expr)?;
        expr.apply(|node| {
            if let Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) = node {
                let from = expr.get_type(self.schema)?;
                if let Some((message, _)) = text_refusal(&from, field.data_type()) {
                    return Err(datafusion_common::DataFusionError::Plan(message));
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        self.planner.fold(expr)
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
            Ast::IsNull(inner) => Ok(Expr::IsNull(Box::new(self.lower(inner)?))),
            Ast::IsNotNull(inner) => Ok(Expr::IsNotNull(Box::new(self.lower(inner)?))),
            Ast::IsTrue(inner) => Ok(Expr::IsTrue(Box::new(self.condition(inner)?))),
            Ast::IsNotTrue(inner) => Ok(Expr::IsNotTrue(Box::new(self.condition(inner)?))),
            Ast::IsFalse(inner) => Ok(Expr::IsFalse(Box::new(self.condition(inner)?))),
            Ast::IsNotFalse(inner) => Ok(Expr::IsNotFalse(Box::new(self.condition(inner)?))),
            Ast::IsUnknown(inner) => Ok(Expr::IsUnknown(Box::new(self.condition(inner)?))),
            Ast::IsNotUnknown(inner) => Ok(Expr::IsNotUnknown(Box::new(self.condition(inner)?))),
            Ast::Between { expr, negated, low, high } => {
                let exprs = self.comparable(&[expr, low, high])?;
                if let Some(between) = self.text_between(&exprs, *negated, span)? {
                    return Ok(between);
                }
                let [value, low, high] = exprs.try_into().expect("three expressions stay three");
                Ok(Expr::Between(Between::new(Box::new(value), *negated, Box::new(low), Box::new(high))))
            }
            Ast::InList { expr, list, negated } => {
                let asts: Vec<&Ast> = std::iter::once(expr.as_ref()).chain(list).collect();
                let mut exprs = self.comparable(&asts)?;
                let value = exprs.remove(0);
                if let Some(found) = self.text_in(&value, &exprs, *negated, span)? {
                    return Ok(found);
                }
                Ok(Expr::InList(InList::new(Box::new(value), exprs, *negated)))
            }
            Ast::Like { negated, any: false, expr, pattern, escape_char: None } => {
                self.like(expr, pattern, *negated, false)
            }
            Ast::ILike { negated, any: false, expr, pattern, escape_char: None } => {
                self.like(expr, pattern, *negated, true)
            }
            Ast::Like { .. } | Ast::ILike { .. } => {
                Err(Refusal::new(span, "LIKE … ESCAPE is not supported").hint("The escape character is a backslash."))
            }
            Ast::RLike { negated, expr, pattern, .. } => {
                self.regexp(self.text(expr)?, self.text(pattern)?, *negated, expr.span().union(&pattern.span()))
            }
            Ast::Case { operand, conditions, else_result, .. } => self.case(operand, conditions, else_result),
            Ast::Cast { kind, expr, data_type, array: false, format: None } => {
                let data_type = self.cast_type(data_type, span)?;
                self.cast(expr, data_type, !matches!(kind, CastKind::Cast | CastKind::DoubleColon))
            }
            Ast::Convert { .. } => Err(Refusal::new(span, "CONVERT is not supported").hint("Write CAST(x AS type).")),
            Ast::Extract { field, expr, .. } => match date_part(field) {
                Some(part) => self.part(part, self.lower(expr)?, expr.span()),
                None => Err(Refusal::new(span, format!("EXTRACT({field} FROM …) is not supported"))),
            },
            Ast::Substring { expr, substring_from: Some(from), substring_for, .. } => {
                let args = [Some(expr), Some(from), substring_for.as_ref()];
                let args: Vec<&Ast> = args.into_iter().flatten().map(Box::as_ref).collect();
                self.call("substring", &args, span)
            }
            Ast::Trim { trim_where, trim_what, expr, trim_characters: None } => {
                // MySQL trims a word, DataFusion any of a set of characters: the same for one character.
                let what = match trim_what {
                    Some(what) if !is_one_character(what) => {
                        return Err(Refusal::new(what.span(), "TRIM removes a single character only"));
                    }
                    what => what.as_deref(),
                };
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                    Some(TrimWhereField::Both) | None => "btrim",
                };
                let args: Vec<&Ast> = std::iter::once(expr.as_ref()).chain(what).collect();
                self.call_direct(name, &args, span)
            }
            Ast::Position { expr, r#in } => self.call_direct("strpos", &[r#in, expr], span),
            Ast::Ceil { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.call("ceil", &[expr], span)
            }
            Ast::Floor { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.call("floor", &[expr], span)
            }
            Ast::Interval(interval) => self.interval(interval, span),
            Ast::Function(function) => self.function(function, span),
            Ast::Subquery(_) | Ast::Exists { .. } | Ast::InSubquery { .. } => {
                Err(Refusal::new(span, "an expression sees one row, it has no sub-queries"))
            }
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
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Class::Text,
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
        Ok(Expr::Column(Column::new_unqualified(self.schema.field(index).name())))
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
            UnaryOperator::BangNot => Err(Refusal::new(span, "`!` is not supported").hint("Write NOT.")),
            UnaryOperator::Minus => {
                if let Ast::Value(ast::ValueWithSpan { value: Value::Number(text, _), .. }) = ast {
                    return self.value(&Value::Number(format!("-{text}"), false), span);
                }
                // The kernel of negation wraps around, that of subtraction can be told not to.
                let expr = self.number(ast)?;
                match self.class(&expr)? {
                    Class::Float => {
                        Ok(binary(Expr::from_literal(ScalarValue::Float64(Some(-1.0))), Operator::Multiply, expr))
                    }
                    _ => Ok(binary(Expr::from_literal(ScalarValue::Int64(Some(0))), Operator::Minus, expr)),
                }
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
            BinaryOperator::Multiply => return self.arithmetic(left, Operator::Multiply, right),
            BinaryOperator::Modulo => return self.arithmetic(left, Operator::Modulo, right),
            BinaryOperator::Divide => {
                let expr = self.arithmetic(left, Operator::Divide, right)?;
                if self.class(&expr)? == Class::Integer {
                    let refusal = Refusal::new(
                        span,
                        "`/` of two integers has a fraction in MySQL, but its digits are not clear here",
                    );
                    return Err(
                        refusal.hint("Write a DIV b for an integer, CAST(a AS DECIMAL(20, 4)) / b for a fraction.")
                    );
                }
                return Ok(expr);
            }
            BinaryOperator::MyIntegerDivide => {
                let expr = self.arithmetic(left, Operator::Divide, right)?;
                if self.class(&expr)? != Class::Integer {
                    return Err(Refusal::new(span, "DIV divides integers").hint("Write CAST(a AS SIGNED) DIV b."));
                }
                return Ok(expr);
            }
            BinaryOperator::BitwiseAnd => return self.bitwise(left, Operator::BitwiseAnd, right),
            BinaryOperator::BitwiseOr => return self.bitwise(left, Operator::BitwiseOr, right),
            BinaryOperator::StringConcat => {
                return Err(Refusal::new(span, "`||` is OR in MySQL and concatenation elsewhere")
                    .hint("Write OR, or concat(a, b)."));
            }
            _ => return Err(Refusal::new(span, format!("the operator `{op}` is not supported"))),
        };
        let exprs = self.comparable(&[left, right])?;
        if op != Operator::IsNotDistinctFrom && exprs.iter().any(is_null) {
            return Err(
                Refusal::new(span, "a comparison with NULL is never true").hint("Write x IS NULL or x IS NOT NULL.")
            );
        }
        let [left, right] = exprs.try_into().expect("two expressions stay two");
        self.compare(left, op, right, span)
    }

    fn condition(&self, ast: &Ast) -> Lowered {
        let expr = self.lower(ast)?;
        match self.class(&expr)? {
            Class::Condition => Ok(expr),
            Class::Null => Ok(Expr::from_literal(ScalarValue::Boolean(None))),
            class => {
                let refusal = Refusal::new(ast.span(), format!("{} is not a condition", self.name_of_type(&expr)?));
                Err(if class.is_number() { refusal.hint("Write x <> 0.") } else { refusal })
            }
        }
    }

    fn number(&self, ast: &Ast) -> Lowered {
        self.as_number(self.lower(ast)?, ast.span())
    }

    fn as_number(&self, expr: Expr, span: Span) -> Lowered {
        match self.class(&expr)? {
            class if class.is_number() => Ok(expr),
            Class::Null => Ok(Expr::from_literal(ScalarValue::Int64(None))),
            _ => Err(Refusal::new(span, format!("{} is not a number", self.name_of_type(&expr)?))
                .hint("Write CAST(x AS DECIMAL(20, 4)) or CAST(x AS SIGNED).")),
        }
    }

    fn text(&self, ast: &Ast) -> Lowered {
        let expr = self.lower(ast)?;
        match self.class(&expr)? {
            Class::Text => Ok(expr),
            Class::Null => Ok(Expr::from_literal(ScalarValue::Utf8(None))),
            _ => Err(Refusal::new(ast.span(), format!("{} is not text", self.name_of_type(&expr)?))
                .hint("Write CAST(x AS CHAR).")),
        }
    }

    fn like(&self, expr: &Ast, pattern: &Ast, negated: bool, case_insensitive: bool) -> Lowered {
        let span = expr.span().union(&pattern.span());
        let (expr, pattern) = (self.text(expr)?, self.text(pattern)?);
        if !case_insensitive && let Some(like) = self.text_like(&expr, &pattern, negated, span)? {
            return Ok(like);
        }
        Ok(Expr::Like(Like::new(negated, Box::new(expr), Box::new(pattern), None, case_insensitive)))
    }

    /// Arithmetic on two numbers; with a float on one side both are doubles, as in MySQL.
    fn arithmetic(&self, left: &Ast, op: Operator, right: &Ast) -> Lowered {
        self.compute(self.number(left)?, op, self.number(right)?)
    }

    fn compute(&self, left: Expr, op: Operator, right: Expr) -> Lowered {
        let (left, right) = match (self.class(&left)?, self.class(&right)?) {
            (Class::Float, _) | (_, Class::Float) => (self.double(left)?, self.double(right)?),
            _ => (self.long(left)?, self.long(right)?),
        };
        let expr = self.finish(binary(left, op, right))?;
        if op == Operator::Divide { self.rounded(expr) } else { Ok(expr) }
    }

    /// MySQL computes with 64 bits, the kernels with as many as their operands have.
    fn long(&self, expr: Expr) -> Lowered {
        match types::plain(&expr.get_type(self.schema)?) {
            DataType::Int64 | DataType::UInt64 => Ok(expr),
            data_type if data_type.is_integer() => self.finish(cast_to(expr, DataType::Int64)),
            _ => Ok(expr),
        }
    }

    /// A quotient of decimals is rounded in MySQL and cut off by the kernel: one more digit is asked for and rounded away.
    fn rounded(&self, quotient: Expr) -> Lowered {
        let data_type = quotient.get_type(self.schema)?;
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = &quotient else { return Ok(quotient) };
        let right_scale = match right.get_type(self.schema)? {
            DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => i16::from(scale),
            _ => return Ok(quotient),
        };
        // The kernel multiplies the dividend by ten to the power of the divisor's scale plus four before it divides.
        let longer = match left.get_type(self.schema)? {
            DataType::Decimal128(precision, scale) if i16::from(precision) + 1 + right_scale + 4 <= 38 => {
                DataType::Decimal128(precision + 1, scale + 1)
            }
            DataType::Decimal128(precision, scale) => DataType::Decimal256(precision + 1, scale + 1),
            DataType::Decimal256(precision @ ..=75, scale) => DataType::Decimal256(precision + 1, scale + 1),
            _ => return Ok(quotient),
        };
        let longer = self.finish(binary(cast_to(left.as_ref().clone(), longer), *op, right.as_ref().clone()))?;
        self.opaque(cast_to(longer, data_type))
    }

    /// A cast that means something. The optimizer would take `CAST(x AS SIGNED) = 11` for `x = 11`, as if casts did not
    /// round or fail; it does not look behind an alias.
    fn opaque(&self, cast: Expr) -> Lowered {
        match self.finish(cast)? {
            literal @ Expr::Literal(..) => Ok(literal),
            cast => Ok(cast.alias("cast")),
        }
    }

    fn bitwise(&self, left: &Ast, op: Operator, right: &Ast) -> Lowered {
        let (left, right) = (self.integer(left)?, self.integer(right)?);
        Ok(binary(left, op, right))
    }

    fn integer(&self, ast: &Ast) -> Lowered {
        let expr = self.long(self.number(ast)?)?;
        match self.class(&expr)? {
            Class::Integer => Ok(expr),
            _ => Err(Refusal::new(ast.span(), format!("{} is not an integer", self.name_of_type(&expr)?))),
        }
    }

    fn double(&self, expr: Expr) -> Lowered {
        match expr.get_type(self.schema)? {
            DataType::Float64 => Ok(expr),
            _ => self.finish(cast_to(expr, DataType::Float64)),
        }
    }

    fn plus_or_minus(&self, left: &Ast, op: Operator, right: &Ast, span: Span) -> Lowered {
        let (left_span, right_span) = (left.span(), right.span());
        let (left, right) = (self.lower(left)?, self.lower(right)?);
        match (self.class(&left)?, self.class(&right)?) {
            (_, Class::Interval) => self.move_by(left, op, right, left_span),
            (Class::Interval, _) if op == Operator::Plus => self.move_by(right, op, left, right_span),
            (Class::Interval, _) => Err(Refusal::new(span, "an interval is subtracted from a date")),
            (a, b) if op == Operator::Minus && a.is_temporal() && b.is_temporal() => {
                Err(Refusal::new(span, "`-` of two dates subtracts their digits in MySQL")
                    .hint("Write datediff(a, b) for days, unix_timestamp(a) - unix_timestamp(b) for seconds."))
            }
            _ => self.compute(self.as_number(left, left_span)?, op, self.as_number(right, right_span)?),
        }
    }

    /// A date or date-time plus or minus an interval.
    fn move_by(&self, date: Expr, op: Operator, interval: Expr, span: Span) -> Lowered {
        let date = match self.class(&date)? {
            // As in MySQL, a date becomes a date-time when its time moves.
            Class::Date if !is_whole_days(&interval) => cast_to(self.existing(date)?, micros(None)),
            Class::Date | Class::Timestamp => self.existing(date)?,
            _ => {
                return Err(Refusal::new(span, format!("{} is not a date", self.name_of_type(&date)?))
                    .hint("Write CAST(x AS DATETIME)."));
            }
        };
        Ok(binary(date, op, interval))
    }

    fn interval(&self, interval: &ast::Interval, span: Span) -> Lowered {
        let (sign, value) = match interval.value.as_ref() {
            Ast::UnaryOp { op: UnaryOperator::Minus, expr } => (-1, expr.as_ref()),
            value => (1, value),
        };
        let amount = match value {
            Ast::Value(ast::ValueWithSpan {
                value: Value::Number(text, _) | Value::SingleQuotedString(text), ..
            }) => text.parse::<i64>().ok().and_then(|amount| amount.checked_mul(sign)),
            _ => None,
        };
        let amount =
            amount.ok_or_else(|| Refusal::new(span, "an interval has an integer and a unit: INTERVAL 2 DAY"))?;
        let refusal = || Refusal::new(span, "the interval is too long or its unit is not supported");
        let small = |factor: i64| amount.checked_mul(factor).and_then(|product| i32::try_from(product).ok());
        let nanos = |factor: i64| amount.checked_mul(factor);
        let parts = match &interval.leading_field {
            Some(DateTimeField::Microsecond) => nanos(1_000).map(|nanos| (0, 0, nanos)),
            Some(DateTimeField::Second) => nanos(1_000_000_000).map(|nanos| (0, 0, nanos)),
            Some(DateTimeField::Minute) => nanos(60_000_000_000).map(|nanos| (0, 0, nanos)),
            Some(DateTimeField::Hour) => nanos(3_600_000_000_000).map(|nanos| (0, 0, nanos)),
            Some(DateTimeField::Day) => small(1).map(|days| (0, days, 0)),
            Some(DateTimeField::Week(None)) => small(7).map(|days| (0, days, 0)),
            Some(DateTimeField::Month) => small(1).map(|months| (months, 0, 0)),
            Some(DateTimeField::Quarter) => small(3).map(|months| (months, 0, 0)),
            Some(DateTimeField::Year) => small(12).map(|months| (months, 0, 0)),
            _ => None,
        };
        let (months, days, nanos) = parts.filter(|_| interval.last_field.is_none()).ok_or_else(refusal)?;
        let value = IntervalMonthDayNano::new(months, days, nanos);
        Ok(Expr::from_literal(ScalarValue::IntervalMonthDayNano(Some(value))))
    }

    /// Lowers expressions that will be compared with each other, and makes their types agree.
    ///
    /// A text literal beside a number, date, time or binary value is read as one. Text that is not a literal is not:
    /// MySQL would compare as floating point numbers, DataFusion as text.
    fn comparable(&self, asts: &[&Ast]) -> Result<Vec<Expr>, Refusal> {
        let mut exprs = asts.iter().map(|ast| self.lower(ast)).collect::<Result<Vec<Expr>, Refusal>>()?;
        let mut classes = exprs.iter().map(|expr| self.class(expr)).collect::<Result<Vec<Class>, Refusal>>()?;

        let Some(anchor) = (0..exprs.len()).min_by_key(|at| self.vagueness(&exprs[*at])) else { return Ok(exprs) };
        let anchor_type = exprs[anchor].get_type(self.schema)?;
        let anchor_class = classes[anchor];

        for at in 0..exprs.len() {
            if let Expr::Literal(value, _) = &exprs[at]
                && let Some(converted) = convert_literal(value, &anchor_type, asts[at].span())?
            {
                exprs[at] = Expr::from_literal(converted);
                classes[at] = self.class(&exprs[at])?;
            }
            let fits = match (anchor_class, classes[at]) {
                (_, Class::Null) | (Class::Null, _) => true,
                (a, b) if a.is_number() && b.is_number() => true,
                (a, b) if a.is_temporal() && b.is_temporal() => true,
                (a, b) => a == b && a != Class::Other && a != Class::Interval,
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

        if classes.contains(&Class::Float)
            && classes.iter().any(|class| matches!(class, Class::Decimal | Class::Integer))
        {
            for (expr, class) in exprs.iter_mut().zip(&classes) {
                if class.is_number() {
                    *expr = self.double(expr.clone())?;
                }
            }
        }
        let mut timestamps = exprs.iter().zip(asts).filter(|(expr, _)| !matches!(expr, Expr::Literal(..)));
        let mut timestamp_type: Option<DataType> = None;
        for (expr, ast) in &mut timestamps {
            let data_type = expr.get_type(self.schema)?;
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
                    *expr = self.finish(cast_to(self.existing(expr.clone())?, timestamp_type.clone()))?;
                }
            }
        }
        Ok(exprs)
    }

    /// Makes the types of expressions agree of which one will be the result, such as the branches of CASE.
    fn alike(&self, exprs: &mut [Expr], spans: &[Span]) -> Result<(), Refusal> {
        let Some(anchor) = (0..exprs.len()).min_by_key(|at| self.vagueness(&exprs[*at])) else { return Ok(()) };
        let anchor_type = exprs[anchor].get_type(self.schema)?;
        let anchor_class = self.class(&exprs[anchor])?;
        for (expr, span) in exprs.iter_mut().zip(spans) {
            if let Expr::Literal(value, _) = &expr
                && let Some(converted) = convert_literal(value, &anchor_type, *span)?
            {
                *expr = Expr::from_literal(converted);
            }
            let class = self.class(expr)?;
            let fits = match (anchor_class, class) {
                (_, Class::Null) | (Class::Null, _) => true,
                (a, b) if a.is_number() && b.is_number() => true,
                // A hidden conversion of DATE to DATETIME would meet dates that do not exist.
                (Class::Timestamp, Class::Timestamp) => expr.get_type(self.schema)? == anchor_type,
                (a, b) => a == b,
            };
            if !fits {
                let message = format!("{} and {} are mixed", types::mysql_name(&anchor_type), self.name_of_type(expr)?);
                return Err(Refusal::new(*span, message).hint("Write CAST(x AS type)."));
            }
        }
        Ok(())
    }

    /// The least vague of several operands says how the others are read: anything rather than a literal, and among those
    /// anything rather than text or NULL.
    fn vagueness(&self, expr: &Expr) -> (bool, bool) {
        let is_literal = matches!(expr, Expr::Literal(..));
        let says_little = matches!(self.class(expr), Ok(Class::Text | Class::Null) | Err(_));
        (is_literal, says_little)
    }

    fn case(&self, operand: &Option<Box<Ast>>, conditions: &[ast::CaseWhen], otherwise: &Option<Box<Ast>>) -> Lowered {
        let results: Vec<&Ast> = conditions.iter().map(|branch| &branch.result).chain(otherwise.as_deref()).collect();
        let mut results = self.alternatives(&results)?;
        let otherwise = otherwise.as_ref().and_then(|_| results.pop()).map(Box::new);
        let whens: Vec<Expr> = match operand {
            Some(operand) => {
                let asts: Vec<&Ast> = std::iter::once(operand.as_ref())
                    .chain(conditions.iter().map(|branch| &branch.condition))
                    .collect();
                let mut exprs = self.comparable(&asts)?;
                let operand = exprs.remove(0);
                let branches = exprs.into_iter().zip(conditions);
                branches
                    .map(|(expr, branch)| self.compare(operand.clone(), Operator::Eq, expr, branch.condition.span()))
                    .collect::<Result<_, _>>()?
            }
            None => conditions.iter().map(|branch| self.condition(&branch.condition)).collect::<Result<_, _>>()?,
        };
        let branches = whens.into_iter().zip(results).map(|(when, then)| (Box::new(when), Box::new(then))).collect();
        Ok(Expr::Case(Case::new(None, branches, otherwise)))
    }

    fn alternatives(&self, asts: &[&Ast]) -> Result<Vec<Expr>, Refusal> {
        let mut exprs = asts.iter().map(|ast| self.lower(ast)).collect::<Result<Vec<Expr>, Refusal>>()?;
        let spans: Vec<Span> = asts.iter().map(|ast| ast.span()).collect();
        self.alike(&mut exprs, &spans)?;
        Ok(exprs)
    }

    fn cast(&self, ast: &Ast, to: DataType, try_cast: bool) -> Lowered {
        let expr = self.lower(ast)?;
        let from = expr.get_type(self.schema)?;
        if let Some((message, hint)) = text_refusal(&from, &to) {
            return Err(Refusal::new(ast.span(), message).hint(hint));
        }
        if let (Expr::Literal(ScalarValue::Utf8(Some(text)), _), DataType::Date32 | DataType::Timestamp(..)) =
            (&expr, &to)
            && !try_cast
        {
            let value = cast_text(text, &to);
            return value.map(Expr::from_literal).ok_or_else(|| not_a(ast.span(), &to));
        }
        let mut expr = self.existing(expr)?;
        // MySQL rounds where the kernels would cut off.
        let has_fraction = match &from {
            DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => *scale > 0,
            other => other.is_floating(),
        };
        if to.is_integer() && has_fraction {
            let whole = match &from {
                DataType::Decimal128(precision, _) => DataType::Decimal128(*precision, 0),
                DataType::Decimal256(precision, _) => DataType::Decimal256(*precision, 0),
                _ => DataType::Decimal128(38, 0),
            };
            expr = if try_cast { try_cast_to(expr, whole) } else { cast_to(expr, whole) };
        }
        self.opaque(if try_cast { try_cast_to(expr, to) } else { cast_to(expr, to) })
    }

    fn cast_type(&self, data_type: &ast::DataType, span: Span) -> Result<DataType, Refusal> {
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
            Sql::Char(None) | Sql::Varchar(None) | Sql::Text => DataType::Utf8,
            Sql::Char(Some(_)) | Sql::Varchar(Some(_)) => {
                return Err(Refusal::new(span, "CAST to text of limited length is not supported")
                    .hint("Write left(CAST(x AS CHAR), n)."));
            }
            Sql::Binary(None) | Sql::Varbinary(None) | Sql::Blob(None) => DataType::Binary,
            Sql::Date => DataType::Date32,
            Sql::Datetime(None | Some(6)) => micros(None),
            // A TIMESTAMP of MySQL is a point in time; everything here is in UTC.
            Sql::Timestamp(None | Some(6), ast::TimezoneInfo::None) => micros(Some("+00:00")),
            Sql::Datetime(_) | Sql::Timestamp(..) => {
                return Err(Refusal::new(span, "date-times have microseconds").hint("Write DATETIME."));
            }
            _ => return Err(Refusal::new(span, format!("the type {data_type} is not supported"))),
        })
    }

    fn function(&self, function: &ast::Function, span: Span) -> Lowered {
        let name = match function.name.0.as_slice() {
            [ObjectNamePart::Identifier(name)] => name.value.to_lowercase(),
            _ => return Err(Refusal::new(span, format!("no function {}", function.name))),
        };
        if functions::function(&name).is_none() {
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

    fn call(&self, name: &str, args: &[&Ast], span: Span) -> Lowered {
        let rewrite = match functions::function(name) {
            Some(Function::Direct(datafusion_name)) => return self.call_direct(datafusion_name, args, span),
            Some(Function::Rewritten(rewrite)) => rewrite,
            None => return Err(Refusal::new(span, functions::refused(name).0)),
        };
        match (rewrite, args) {
            (Rewrite::Concat, [first, rest @ ..]) => {
                let mut expr = self.as_text(first)?;
                for arg in rest {
                    expr = binary(expr, Operator::StringConcat, self.as_text(arg)?);
                }
                Ok(expr)
            }
            (Rewrite::If, [condition, then, otherwise]) => {
                let [then, otherwise] =
                    self.alternatives(&[then, otherwise])?.try_into().expect("two expressions stay two");
                let branch = (Box::new(self.condition(condition)?), Box::new(then));
                Ok(Expr::Case(Case::new(None, vec![branch], Some(Box::new(otherwise)))))
            }
            (Rewrite::Mod, [left, right]) => self.arithmetic(left, Operator::Modulo, right),
            (Rewrite::Date, [arg]) => self.opaque(cast_to(self.date(arg)?, DataType::Date32)),
            (Rewrite::DateDiff, [left, right]) => {
                let left = cast_to(self.date(left)?, DataType::Date32);
                let right = cast_to(self.date(right)?, DataType::Date32);
                Ok(binary(left, Operator::Minus, right))
            }
            (Rewrite::DateAdd | Rewrite::DateSub, [date, interval]) if matches!(interval, Ast::Interval(_)) => {
                let op = if rewrite == Rewrite::DateAdd { Operator::Plus } else { Operator::Minus };
                self.move_by(self.lower(date)?, op, self.lower(interval)?, date.span())
            }
            (Rewrite::Part(part), [arg]) => self.part(part, self.lower(arg)?, arg.span()),
            (Rewrite::DayOfWeek, [arg]) => {
                let day = self.part("dow", self.lower(arg)?, arg.span())?;
                Ok(binary(day, Operator::Plus, Expr::from_literal(ScalarValue::Int32(Some(1)))))
            }
            (Rewrite::RegexpReplace, [text, pattern, replacement]) => {
                let flags = Expr::from_literal(ScalarValue::Utf8(Some("g".to_owned())));
                let args = vec![self.text(text)?, self.text(pattern)?, self.text(replacement)?, flags];
                if let Some(expr) = self.text_function("regexp_replace", &args, span)? {
                    return Ok(expr);
                }
                self.invoke("regexp_replace", args)
            }
            _ => Err(Refusal::new(span, format!("{name}() does not take {} arguments of this kind", args.len()))),
        }
    }

    fn call_direct(&self, name: &str, asts: &[&Ast], span: Span) -> Lowered {
        let mut args = Vec::with_capacity(asts.len());
        for (at, ast) in asts.iter().enumerate() {
            let arg = self.lower(ast)?;
            if let Some(least) = functions::literal_at_least(name, at) {
                let is_fine = matches!(&arg, Expr::Literal(ScalarValue::Int64(Some(value)), _) if *value >= least);
                if !is_fine {
                    return Err(Refusal::new(
                        ast.span(),
                        format!("this argument must be an integer of at least {least}"),
                    ));
                }
            }
            args.push(arg);
        }
        // These hand their arguments through: what MySQL cannot read as a date is still what it is.
        if matches!(name, "coalesce" | "nvl" | "nullif") {
            let spans: Vec<Span> = asts.iter().map(|ast| ast.span()).collect();
            self.alike(&mut args, &spans)?;
        } else {
            args = args.into_iter().map(|arg| self.existing(arg)).collect::<Result<_, _>>()?;
        }
        if let Some(expr) = self.text_function(name, &args, span)? {
            return Ok(expr);
        }
        if name == "abs" {
            args = args.into_iter().map(|arg| self.long(arg)).collect::<Result<_, _>>()?;
        }
        self.invoke(name, args).map_err(|refusal| refusal.or_at(span))
    }

    fn invoke(&self, name: &str, args: Vec<Expr>) -> Lowered {
        let implementation = functions::implementation(name)
            .ok_or_else(|| Refusal::new(Span::empty(), format!("{name}() is not built in")))?;
        Ok(Expr::ScalarFunction(ScalarFunction::new_udf(implementation, args)))
    }

    fn as_text(&self, ast: &Ast) -> Lowered {
        let expr = self.lower(ast)?;
        match self.class(&expr)? {
            Class::Text => Ok(expr),
            _ => {
                let from = expr.get_type(self.schema)?;
                if let Some((message, hint)) = text_refusal(&from, &DataType::Utf8) {
                    return Err(Refusal::new(ast.span(), message).hint(hint));
                }
                self.opaque(cast_to(self.existing(expr)?, DataType::Utf8))
            }
        }
    }

    fn date(&self, ast: &Ast) -> Lowered {
        let expr = self.lower(ast)?;
        self.existing_date(expr, ast.span())
    }

    fn existing_date(&self, expr: Expr, span: Span) -> Lowered {
        match self.class(&expr)? {
            Class::Date | Class::Timestamp => self.existing(expr),
            Class::Text if matches!(expr, Expr::Literal(..)) => {
                let Expr::Literal(value, _) = &expr else { return Ok(expr) };
                let converted = convert_literal(value, &micros(None), span)?;
                Ok(converted.map_or(expr, Expr::from_literal))
            }
            _ => Err(Refusal::new(span, format!("{} is not a date", self.name_of_type(&expr)?))
                .hint("Write CAST(x AS DATETIME).")),
        }
    }

    fn part(&self, part: &str, expr: Expr, span: Span) -> Lowered {
        let expr = self.existing_date(expr, span)?;
        self.invoke("date_part", vec![Expr::from_literal(ScalarValue::Utf8(Some(part.to_owned()))), expr])
    }

    /// NULL in place of dates that do not exist, for whatever computes with dates.
    fn existing(&self, expr: Expr) -> Lowered {
        let mut source = &expr;
        while let Expr::Alias(alias) = source {
            source = &alias.expr;
        }
        let hands_through = match source {
            Expr::Column(_) | Expr::Case(_) => true,
            Expr::ScalarFunction(function) => matches!(function.func.name(), "coalesce" | "nvl" | "nullif"),
            _ => false,
        };
        let first = match expr.get_type(self.schema)? {
            DataType::Date32 => ScalarValue::Date32(Some(literal::FIRST_DAY)),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                ScalarValue::TimestampMicrosecond(Some(literal::FIRST_MICROSECOND), zone)
            }
            _ => return Ok(expr),
        };
        if !hands_through {
            return Ok(expr);
        }
        let exists = binary(expr.clone(), Operator::GtEq, Expr::from_literal(first));
        self.planner.coerce(Expr::Case(Case::new(None, vec![(Box::new(exists), Box::new(expr))], None)))
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

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if value.is_null())
}

fn is_whole_days(interval: &Expr) -> bool {
    matches!(interval, Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(value)), _) if value.nanoseconds == 0)
}

fn is_one_character(ast: &Ast) -> bool {
    matches!(ast, Ast::Value(value) if matches!(&value.value, Value::SingleQuotedString(text) if text.chars().count() == 1))
}

fn not_a(span: Span, data_type: &DataType) -> Refusal {
    let refusal = Refusal::new(span, format!("this text is not a {}", types::mysql_name(data_type)));
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
        DataType::Timestamp(..) => "Write to_char(x, '%Y-%m-%d %H:%M:%S').",
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

fn date_part(field: &DateTimeField) -> Option<&'static str> {
    Some(match field {
        DateTimeField::Year => "year",
        DateTimeField::Quarter => "quarter",
        DateTimeField::Month => "month",
        DateTimeField::Day => "day",
        DateTimeField::Hour => "hour",
        DateTimeField::Minute => "minute",
        DateTimeField::Second => "second",
        _ => return None,
    })
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
