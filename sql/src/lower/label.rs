//! ENUM and SET where MySQL takes them as numbers: beside numbers, in arithmetic, as conditions. Everywhere else they are text.

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::Expr;

use super::{Class, FromLiteral, Lower, Lowered};
use crate::functions::label;
use crate::{Kind, error::Refusal};

impl Lower<'_> {
    /// Whether an expression is a column of ENUM or SET whose labels are known, each of them once.
    pub(super) fn has_labels(&self, expr: &Expr) -> bool {
        self.labels(expr).is_some()
    }

    fn labels(&self, expr: &Expr) -> Option<(Kind, &[String])> {
        let Expr::Column(column) = expr else { return None };
        let source = self.source(column.name())?;
        let labels = source.labels.as_deref()?;
        // The empty text is what stands for no label.
        let plain = labels.iter().enumerate().all(|(at, label)| !label.is_empty() && !labels[..at].contains(label));
        (plain && !labels.is_empty()).then_some((source.kind, labels))
    }

    /// Whether an expression is a column of ENUM or SET, whatever is known of its labels.
    pub(super) fn is_label(&self, expr: &Expr) -> bool {
        let is_enum = matches!(self.type_of(expr), Ok(DataType::Dictionary(..)));
        matches!(expr, Expr::Column(_)) && (is_enum || self.source_kind(expr) == Kind::Set)
    }

    /// The place of the label, or the bits of labels, as BIGINT UNSIGNED; `None` of anything else.
    pub(super) fn label_number(&self, expr: &Expr) -> Result<Option<Expr>, Refusal> {
        let Some((kind, labels)) = self.labels(expr) else { return Ok(None) };
        let literals = labels.iter().map(|label| Expr::from_literal(ScalarValue::Utf8(Some(label.clone()))));
        let args = std::iter::once(expr.clone()).chain(literals).collect();
        let kernel = if kind == Kind::Set { label::of_set() } else { label::of_enum() };
        Ok(Some(self.finish(kernel.call(args))?))
    }

    /// ENUM and SET as MySQL computes with them, in doubles; anything else as it is.
    pub(super) fn labels_as_number(&self, expr: Expr) -> Lowered {
        match self.label_number(&expr)? {
            Some(number) => self.double(number),
            None => Ok(expr),
        }
    }

    /// Operands of a comparison: beside numbers, labels are numbers.
    pub(super) fn labels_beside_numbers(&self, exprs: &mut [Expr]) -> Result<(), Refusal> {
        let mut numbers = false;
        for expr in exprs.iter() {
            let class = self.class(expr)?;
            numbers |= class.is_number() || class == Class::Condition;
        }
        if numbers && exprs.iter().any(|expr| self.has_labels(expr)) {
            for expr in exprs {
                *expr = self.labels_as_number(expr.clone())?;
            }
        }
        Ok(())
    }
}
