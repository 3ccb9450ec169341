//! By which collation text is compared.
//!
//! ```text
//! country = 'de'                        the column's
//! upper(city) <> name                   one that both have; two are refused
//! country COLLATE utf8mb4_bin = 'de'    the one that is named
//! 'a' = 'A', md5(x) = '9e10…'           that of a session which has set nothing
//! ```
//!
//! An expression says of its text where its order comes from ([`Order`]), as MySQL's coercibility does: what is named wins over
//! columns, columns over text that comes out of JSON, and that over everything that has no collation of its own. What the expression itself
//! does not show, such as `COLLATE`, is an alias around it, which nothing looks behind.

use datafusion_common::ScalarValue;
use datafusion_expr::expr::{Case, ScalarFunction};
use datafusion_expr::{Cast, Expr, Operator};
use sqlparser::ast::{Expr as Ast, ObjectName, Spanned};
use sqlparser::tokenizer::Span;
use tidegate_collation::Collation;

use super::{Class, FromLiteral, Lower, Lowered, binary, is_null};
use crate::error::Refusal;
use crate::text::TextOperation;
use crate::{Kind, TextOrder};

const WAY_OUT: &str =
    "Write x COLLATE utf8mb4_bin to compare the bytes, or COLLATE with a collation that is known here.";

/// How text compares that is of no column, in a session that has set nothing.
const OF_SESSION: &str = "utf8mb4_0900_ai_ci";

/// How text compares that comes out of JSON.
const OF_JSON: &str = "utf8mb4_bin";

/// How text compares that JSON_VALUE gives.
const OF_JSON_VALUE: &str = "utf8mb4_0900_bin";

/// Names an alias that stands for what `field` has become.
const FIELD: &str = "field";

/// Begins the names of aliases that say where an order comes from. No column is called so: names have at most 64 characters.
const ORDER: &str = "--------------------------------------------------------- ";

/// The collation that COLLATE names.
const COLLATE: &str = "--------------------------------------------------------- COLLATE ";

/// The collation of text that is as good as a column's, which CAST makes.
const CAST: &str = "--------------------------------------------------------- CAST ";

/// The collation of text that is not, such as that of JSON; without a name, text has none of its own.
const MADE: &str = "--------------------------------------------------------- MADE ";

/// The function that makes text of which servers say different things.
const UNCLEAR: &str = "--------------------------------------------------------- UNCLEAR ";

/// Where the order of a text comes from, by falling strength.
#[derive(Debug, Clone)]
enum Order {
    Named(&'static Collation),
    Column(TextOrder),
    /// What this function makes has one order for MySQL and another one for MariaDB.
    Unclear(String),
    /// Of two columns, or of two COLLATE.
    Mixed(String, String),
    /// Text that a function has made, with a collation of its own.
    Made(TextOrder),
    /// A literal, or text that a function has made from something else.
    Free,
}

impl Order {
    fn with(self, other: Order) -> Order {
        match (self, other) {
            (Order::Named(a), Order::Named(b)) if !std::ptr::eq(a, b) => Order::Mixed(a.name().into(), b.name().into()),
            (order @ Order::Named(_), _) | (_, order @ Order::Named(_)) => order,
            (order @ Order::Unclear(_), _) | (_, order @ Order::Unclear(_)) => order,
            (order @ Order::Mixed(..), _) | (_, order @ Order::Mixed(..)) => order,
            (Order::Column(a), Order::Column(b)) if a != b => Order::Mixed(a.name(), b.name()),
            (order @ Order::Column(_), _) | (_, order @ Order::Column(_)) => order,
            (Order::Made(a), Order::Made(b)) if a != b => Order::Mixed(a.name(), b.name()),
            (order @ Order::Made(_), _) | (_, order @ Order::Made(_)) => order,
            (Order::Free, Order::Free) => Order::Free,
        }
    }

    fn is(&self, other: &Order) -> bool {
        match (self, other) {
            (Order::Named(a), Order::Named(b)) => std::ptr::eq(*a, *b),
            (Order::Column(a), Order::Column(b)) | (Order::Made(a), Order::Made(b)) => a == b,
            (Order::Free, Order::Free) => true,
            _ => false,
        }
    }

    /// The name of an alias that says this of a text, where the expression does not show it.
    fn alias(&self) -> Option<String> {
        match self {
            Order::Column(TextOrder::Collation(collation)) => Some(format!("{CAST}{}", collation.name())),
            Order::Made(TextOrder::Collation(collation)) => Some(format!("{MADE}{}", collation.name())),
            _ => None,
        }
    }
}

impl Lower<'_> {
    /// `x COLLATE name`.
    pub(super) fn collate(&self, ast: &Ast, name: &ObjectName, span: Span) -> Lowered {
        let expr = self.lower(ast)?;
        if !matches!(self.class(&expr)?, Class::Text | Class::Null) {
            let message = format!("{} is not text", self.name_of_type(&expr)?);
            return Err(Refusal::new(ast.span(), message).hint("Write CAST(x AS CHAR)."));
        }
        let expr = self.as_text(expr, ast.span())?;
        let name = name.to_string();
        let name = name.trim_matches(|c| matches!(c, '`' | '\'' | '"'));
        let Some(collation) = Collation::named(name) else {
            return Err(Refusal::new(span, format!("the collation {name} is not known here")).hint(WAY_OUT));
        };
        // Whatever a column's character set is, its text is Unicode here.
        let fits = match self.order_of(&[&expr])? {
            Order::Column(TextOrder::Collation(column)) => column.charset() == collation.charset(),
            _ => false,
        };
        if !fits && !matches!(collation.charset(), "utf8mb4" | "binary") {
            let message = format!("{name} is for text of {}", collation.charset());
            return Err(Refusal::new(span, message).hint(WAY_OUT));
        }
        Ok(expr.alias(format!("{COLLATE}{}", collation.name())))
    }

    /// Text that CAST has made.
    pub(super) fn as_converted(&self, text: Expr) -> Expr {
        if is_null(&text) || !self.has_collations() { text } else { text.alias(format!("{CAST}{OF_SESSION}")) }
    }

    /// Text of CHAR(… USING …), which has no collation of its own.
    pub(super) fn as_made(&self, text: Expr) -> Expr {
        if is_null(&text) { text } else { text.alias(MADE) }
    }

    /// What has become of a call whose arguments are constants, with the order of its text.
    pub(super) fn folded(&self, call: &Expr, folded: Expr) -> Lowered {
        let alias = match &folded {
            Expr::Literal(ScalarValue::Utf8(Some(_)), _) => self.order_of_source(call)?.alias(),
            _ => None,
        };
        Ok(match alias {
            Some(alias) => folded.alias(alias),
            None => folded,
        })
    }

    /// What NULLIF makes of a value beside another. For MySQL it has the order of both, for MariaDB that of the value.
    pub(super) fn of_null_if(&self, choice: Expr, value: &Expr, other: &Expr) -> Lowered {
        if !self.is_text(&[value, other])? {
            return Ok(choice);
        }
        Ok(match self.order_of(&[value])?.is(&self.order_of(&[value, other])?) {
            true => choice,
            false => choice.alias(format!("{UNCLEAR}nullif")),
        })
    }

    fn order_of(&self, exprs: &[&Expr]) -> Result<Order, Refusal> {
        let mut sources = Vec::new();
        exprs.iter().try_for_each(|expr| self.sources(expr, &mut sources))?;
        self.order_of_sources(&sources)
    }

    fn order_of_sources(&self, sources: &[&Expr]) -> Result<Order, Refusal> {
        sources.iter().try_fold(Order::Free, |order, source| Ok(order.with(self.order_of_source(source)?)))
    }

    /// What the text of an expression comes from: columns, literals, what is named by COLLATE, and functions that make text.
    fn sources<'e>(&self, expr: &'e Expr, sources: &mut Vec<&'e Expr>) -> Result<(), Refusal> {
        if self.class(expr)? != Class::Text {
            return Ok(());
        }
        match expr {
            Expr::Alias(alias) if !alias.name.starts_with(ORDER) => self.sources(&alias.expr, sources),
            Expr::Cast(cast) => self.sources(&cast.expr, sources),
            Expr::TryCast(cast) => self.sources(&cast.expr, sources),
            Expr::ScalarFunction(function) if changes_first(function.func.name()) => {
                // For MySQL it has the order of its first argument, for MariaDB that of all.
                let (mut first, mut others) = (Vec::new(), Vec::new());
                self.sources(&function.args[0], &mut first)?;
                function.args[1..].iter().try_for_each(|arg| self.sources(arg, &mut others))?;
                let order = self.order_of_sources(&first)?;
                match order.is(&order.clone().with(self.order_of_sources(&others)?)) {
                    true => sources.extend(first.into_iter().chain(others)),
                    false => sources.push(expr),
                }
                Ok(())
            }
            Expr::ScalarFunction(function) if !makes_text(function) => {
                function.args.iter().try_for_each(|arg| self.sources(arg, sources))
            }
            Expr::BinaryExpr(concatenation) => {
                self.sources(&concatenation.left, sources)?;
                self.sources(&concatenation.right, sources)
            }
            Expr::Case(Case { when_then_expr, else_expr, .. }) => when_then_expr
                .iter()
                .map(|(_, then)| then.as_ref())
                .chain(else_expr.as_deref())
                .try_for_each(|result| self.sources(result, sources)),
            source => {
                sources.push(source);
                Ok(())
            }
        }
    }

    fn order_of_source(&self, source: &Expr) -> Result<Order, Refusal> {
        let of_session = || match self.has_collations() {
            true => Order::Column(TextOrder::of(Some(OF_SESSION))),
            false => Order::Free,
        };
        Ok(match source {
            Expr::Column(column) => {
                let index = self.planner.column_index(column.name());
                let order = index.and_then(|index| self.planner.texts().get(index));
                Order::Column(order.cloned().unwrap_or_default())
            }
            Expr::ScalarFunction(function) => match function.func.name() {
                "json_text" => Order::Column(TextOrder::of(Some(OF_JSON))),
                "json_pretty" | "json_quote" | "json_shown_type" | "json_type" | "json_unquote" => {
                    Order::Made(TextOrder::of(Some(OF_JSON)))
                }
                "json_value" => Order::Made(TextOrder::of(Some(OF_JSON_VALUE))),
                "convert" | "text_of_bytes" => of_session(),
                // A format hands on the strength of its order, and nothing else.
                "date_format" | "time_format" => match self.order_of(&Vec::from_iter(function.args.get(1)))? {
                    Order::Free | Order::Made(_) => Order::Free,
                    Order::Named(_) => Collation::named(OF_SESSION).map_or(Order::Free, Order::Named),
                    _ => of_session(),
                },
                // The text of a place has the order of what was looked through for MySQL, for MariaDB it has none.
                "number_text" => match place_of(function) {
                    Some((name, args)) if self.is_text(&args)? => match self.order_of(&args)? {
                        order @ (Order::Free | Order::Made(_)) => order,
                        _ => Order::Unclear(name.to_owned()),
                    },
                    _ => Order::Free,
                },
                name if changes_first(name) => Order::Unclear(name.to_owned()),
                _ => Order::Free,
            },
            Expr::Alias(alias) => {
                let named = |prefix| alias.name.strip_prefix(prefix);
                match (named(COLLATE), named(CAST), named(MADE), named(UNCLEAR)) {
                    (Some(name), ..) => Collation::named(name).map_or(Order::Free, Order::Named),
                    (_, Some(name), ..) => Order::Column(TextOrder::of(Some(name))),
                    (_, _, Some(""), _) => Order::Free,
                    (_, _, Some(name), _) => Order::Made(TextOrder::of(Some(name))),
                    (.., Some(name)) => Order::Unclear(name.to_owned()),
                    _ => Order::Free,
                }
            }
            _ => Order::Free,
        })
    }

    /// The collation by which these are compared; none if their bytes are. Literals must be of its character set.
    fn collation_of(&self, exprs: &[&Expr], span: Span) -> Result<Option<&'static Collation>, Refusal> {
        let mut sources = Vec::new();
        exprs.iter().try_for_each(|expr| self.sources(expr, &mut sources))?;
        let collation = match self.order_of_sources(&sources)? {
            Order::Named(collation)
            | Order::Column(TextOrder::Collation(collation))
            | Order::Made(TextOrder::Collation(collation)) => collation,
            Order::Column(TextOrder::Bytes) | Order::Made(TextOrder::Bytes) => return Ok(None),
            Order::Unclear(function) => {
                let message = format!("by what {function}() of these texts compares is not the same on all servers");
                return Err(Refusal::new(span, message).hint("Write x COLLATE name to say which."));
            }
            Order::Column(TextOrder::Unknown(name)) | Order::Made(TextOrder::Unknown(name)) => {
                let message = match name.as_ref() {
                    "" => "nobody has told by which collation this text compares".to_owned(),
                    name => format!("how {name} compares text is not known here"),
                };
                return Err(Refusal::new(span, message).hint(WAY_OUT));
            }
            Order::Mixed(a, b) => {
                let message = format!("one text compares by {a}, the other by {b}");
                return Err(Refusal::new(span, message).hint("Write x COLLATE name to say which."));
            }
            Order::Free if !self.has_collations() => return Ok(None),
            Order::Free => match Collation::named(OF_SESSION) {
                Some(collation) => collation,
                None => return Ok(None),
            },
        };
        for source in sources {
            let literal = match source {
                Expr::Alias(alias) => crate::text::literal_text(&alias.expr),
                source => crate::text::literal_text(source),
            };
            if literal.is_some_and(|text| !collation.covers(text)) {
                let message = format!("the text has characters that {} does not have", collation.charset());
                return Err(Refusal::new(span, message).hint(WAY_OUT));
            }
        }
        Ok(Some(collation))
    }

    /// A value beside each of several, as CASE compares: texts by one collation for all, numbers as each pair says.
    pub(super) fn equals_each(&self, value: &Expr, others: Vec<Expr>, span: Span) -> Result<Vec<Expr>, Refusal> {
        let all: Vec<&Expr> = std::iter::once(value).chain(&others).collect();
        let collation = if self.is_text(&all)? { self.collation_of(&all, span)? } else { None };
        let equals = |other: Expr| match collation {
            Some(collation) => Ok(TextOperation::compare(collation, bare(value.clone()), Operator::Eq, bare(other))),
            None => {
                let mut pair = [bare(value.clone()), bare(other)];
                self.as_one_number(&mut pair)?;
                let [value, other] = pair;
                Ok(binary(value, Operator::Eq, other))
            }
        };
        others.into_iter().map(equals).collect()
    }

    /// A comparison of two texts; of anything else what DataFusion makes of it.
    pub(super) fn compare(&self, left: Expr, op: Operator, right: Expr, span: Span) -> Lowered {
        if !self.is_text(&[&left, &right])? {
            return Ok(binary(left, op, right));
        }
        Ok(match self.collation_of(&[&left, &right], span)? {
            Some(collation) => TextOperation::compare(collation, bare(left), op, bare(right)),
            None => binary(bare(left), op, bare(right)),
        })
    }

    /// `value BETWEEN low AND high`, if it is about text.
    pub(super) fn text_between(&self, exprs: &[Expr], negated: bool, span: Span) -> Result<Option<Expr>, Refusal> {
        let [value, low, high] = exprs else { return Ok(None) };
        if !self.is_text(&[value, low, high])? {
            return Ok(None);
        }
        // One collation for all three, as in MySQL.
        let Some(collation) = self.collation_of(&[value, low, high], span)? else { return Ok(None) };
        let compare =
            |op, border: &Expr| TextOperation::compare(collation, bare(value.clone()), op, bare(border.clone()));
        let between = binary(compare(Operator::GtEq, low), Operator::And, compare(Operator::LtEq, high));
        Ok(Some(if negated { Expr::Not(Box::new(between)) } else { between }))
    }

    /// `value IN (list)`, if it is about text.
    pub(super) fn text_in(
        &self,
        value: &Expr,
        list: &[Expr],
        negated: bool,
        span: Span,
    ) -> Result<Option<Expr>, Refusal> {
        let all: Vec<&Expr> = std::iter::once(value).chain(list).collect();
        if !self.is_text(&all)? {
            return Ok(None);
        }
        let Some(collation) = self.collation_of(&all, span)? else { return Ok(None) };
        let texts: Option<Vec<&str>> =
            list.iter().filter(|item| !is_null(item)).map(|item| crate::text::literal_text(item)).collect();
        let found = match texts {
            Some(texts) => TextOperation::is_in(collation, bare(value.clone()), &texts, list.iter().any(is_null)),
            None => list
                .iter()
                .map(|item| TextOperation::compare(collation, bare(value.clone()), Operator::Eq, bare(item.clone())))
                .reduce(|left, right| binary(left, Operator::Or, right))
                .unwrap_or_else(|| unreachable!("a list has an item")),
        };
        Ok(Some(if negated { Expr::Not(Box::new(found)) } else { found }))
    }

    /// `text LIKE pattern`; none if bytes are compared.
    pub(super) fn text_like(
        &self,
        text: &Expr,
        pattern: &Expr,
        negated: bool,
        span: Span,
    ) -> Result<Option<Expr>, Refusal> {
        let Some(collation) = self.collation_of(&[text, pattern], span)? else { return Ok(None) };
        let like = TextOperation::like(collation, bare(text.clone()), bare(pattern.clone()));
        Ok(Some(if negated { Expr::Not(Box::new(like)) } else { like }))
    }

    /// What a function that compares its arguments becomes; none if the one that compares bytes is right.
    pub(super) fn text_function(&self, name: &str, args: &[Expr], span: Span) -> Result<Option<Expr>, Refusal> {
        if !matches!(name, "find_in_set" | "strcmp" | "field" | "instr" | "locate" | "greatest" | "least") {
            return Ok(None);
        }
        let texts: Vec<&Expr> = args.iter().take(if name == "locate" { 2 } else { args.len() }).collect();
        if !self.is_text(&texts)? {
            return Ok(None);
        }
        if name == "find_in_set" && args.get(1).is_some_and(|set| self.source_kind(set) == Kind::Set) {
            let message = "find_in_set() in a column of SET looks among its labels, by rules of their own";
            return Err(Refusal::new(span, message).hint("Write concat(',', x, ',') LIKE '%,label,%'."));
        }
        let searched = match (name, args) {
            ("locate", [part, text, ..]) | ("instr", [text, part]) => Some((part, text)),
            _ => None,
        };
        // MySQL 9.7 looks by another collation there.
        if let Some((part, text)) = searched
            && self.has_collations()
            && !matches!(bare(text.clone()), Expr::Column(_))
            && crate::text::literal_text(part).is_none()
        {
            let message = format!("{name}() looks for a literal, or in a column");
            return Err(Refusal::new(span, message).hint("Write find_in_set(x, 'a,b'), or x IN ('a', 'b')."));
        }
        let collation = self.collation_of(&texts, span)?;
        if name == "field" {
            // MySQL compares by the collation of the first one, MariaDB by that of all.
            let own = self.collation_of(&texts[..1], span)?;
            if own.map(Collation::name) != collation.map(Collation::name) {
                let message = "by which collation field() of these texts compares is not the same on all servers";
                return Err(Refusal::new(span, message).hint("Write field(x COLLATE name, …) to say it."));
            }
        }
        let Some(collation) = collation else { return Ok(None) };
        let compare =
            |op, other: &Expr| TextOperation::compare(collation, bare(args[0].clone()), op, bare(other.clone()));
        let number = |number| Box::new(Expr::from_literal(ScalarValue::Int64(Some(number))));
        let choice = |branches: Vec<(Expr, i64)>, otherwise: Option<i64>| {
            let branches = branches.into_iter().map(|(when, then)| (Box::new(when), number(then))).collect();
            Some(Expr::Case(Case::new(None, branches, otherwise.map(number))))
        };
        Ok(match (name, args) {
            ("find_in_set", [part, set]) => {
                Some(TextOperation::find_in_set(collation, bare(part.clone()), bare(set.clone())))
            }
            ("strcmp", [_, other]) => {
                let branches = [(Operator::Lt, -1), (Operator::Gt, 1), (Operator::Eq, 0)];
                let compared = choice(branches.map(|(op, result)| (compare(op, other), result)).to_vec(), None);
                compared.map(|compared| compared.alias("strcmp"))
            }
            ("field", [_, others @ ..]) => {
                let branches = others.iter().zip(1..).map(|(other, place)| (compare(Operator::Eq, other), place));
                choice(branches.collect(), Some(0)).map(|choice| choice.alias(FIELD))
            }
            ("greatest" | "least", _) if !collation.is_identity() => {
                // Of texts that are equal, servers take different ones.
                let message = format!("{name}() does not choose between texts that are equal by {}", collation.name());
                return Err(Refusal::new(span, message).hint("Write CASE WHEN a > b THEN a ELSE b END."));
            }
            ("instr" | "locate", _) if !collation.is_binary() => {
                // Where a text begins that is equal to another is not the same on all servers.
                let message = format!("{name}() does not look for text by {}", collation.name());
                return Err(Refusal::new(span, message).hint("Write x COLLATE utf8mb4_bin, or x LIKE '%part%'."));
            }
            _ => None,
        })
    }

    /// Whether a regular expression ignores case, as the server does if the collation does, and nothing else that the collation ignores.
    /// Refused where servers and our engine would not ignore the same.
    pub(super) fn regexp_ignores_case(&self, text: &Expr, pattern: &str, span: Span) -> Result<bool, Refusal> {
        let collation = self.collation_of(&[text], span)?;
        // By those of MariaDB that tell cases apart, its regular expressions do not.
        if let Some(collation) = collation.filter(|collation| collation.name().contains("uca1400"))
            && !collation.equal("a", "A")
        {
            let message = format!("regular expressions do not match by {}", collation.name());
            return Err(Refusal::new(span, message).hint("Write x COLLATE utf8mb4_bin RLIKE pattern."));
        }
        if !collation.is_some_and(|collation| collation.equal("a", "A")) {
            return Ok(false);
        }
        // MySQL takes these for one character, too: `ß` for `ss`, `ﬁ` for `fi`.
        let folds_together = ["ss", "ff", "fi", "fl", "st"];
        let lower = pattern.to_ascii_lowercase();
        if !pattern.is_ascii() || folds_together.iter().any(|pair| lower.contains(pair)) {
            return Err(Refusal::new(span, "how this pattern ignores case is not the same on all servers")
                .hint("Write x COLLATE utf8mb4_bin RLIKE pattern, with [Aa] where both cases are meant."));
        }
        Ok(true)
    }

    /// Whether text of no column compares as in a session of a server. Of a source without collations, all text is its bytes.
    fn has_collations(&self) -> bool {
        let is_bytes =
            |text: &TextOrder| matches!(text, TextOrder::Collation(collation) if collation.name() == "binary");
        !self.planner.texts().is_empty() && !self.planner.texts().iter().any(is_bytes)
    }

    fn is_text(&self, exprs: &[&Expr]) -> Result<bool, Refusal> {
        let mut is_text = false;
        for expr in exprs {
            match self.class(expr)? {
                Class::Text => is_text = true,
                Class::Null => {}
                _ => return Ok(false),
            }
        }
        Ok(is_text)
    }
}

/// Without what is said of its order, such as COLLATE.
pub(super) fn bare(expr: Expr) -> Expr {
    match expr {
        Expr::Alias(alias) if alias.name.starts_with(ORDER) => bare(*alias.expr),
        expr => expr,
    }
}

/// The function whose integer becomes text, and the texts that it looks at, if the text has their order for MySQL.
fn place_of(text: &ScalarFunction) -> Option<(&str, Vec<&Expr>)> {
    let mut number = text.args.first()?;
    while let Expr::Cast(Cast { expr, .. }) = number {
        number = expr;
    }
    match number {
        Expr::ScalarFunction(function) => {
            let name = function.func.name();
            let texts = matches!(name, "locate" | "instr" | "field" | "regexp_instr" | "regexp_like");
            texts.then(|| (name, function.args.iter().take(if name == "locate" { 2 } else { usize::MAX }).collect()))
        }
        Expr::Alias(alias) => {
            let texts = match alias.expr.as_ref() {
                Expr::Case(choice) => choice.when_then_expr.first().map(|(when, _)| when.as_ref()),
                _ => None,
            };
            match texts {
                Some(Expr::ScalarFunction(compared)) if alias.name == FIELD => {
                    Some(("field", compared.args.iter().collect()))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// Functions whose text is that of their first argument, changed.
fn changes_first(function: &str) -> bool {
    matches!(function, "insert" | "lpad" | "ltrim" | "replace" | "rpad" | "rtrim" | "substring_index" | "trim")
}

/// Functions whose text is not that of their arguments.
fn makes_text(function: &ScalarFunction) -> bool {
    const FUNCTIONS: [&str; 33] = [
        "bin",
        "bin_to_uuid",
        "conv",
        "convert",
        "date_format",
        "dayname",
        "fixed",
        "format",
        "hex",
        "inet6_ntoa",
        "inet_ntoa",
        "json_pretty",
        "json_quote",
        "json_shown_type",
        "json_text",
        "json_type",
        "json_unquote",
        "json_value",
        "md5",
        "monthname",
        "number_text",
        "oct",
        "sha1",
        "sha2",
        "sha224",
        "sha256",
        "sha384",
        "sha512",
        "space",
        "text",
        "text_of_bytes",
        "time_format",
        "to_base64",
    ];
    FUNCTIONS.contains(&function.func.name())
}
