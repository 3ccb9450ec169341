//! What of an expression means something else where it is asked for: on MariaDB and before MySQL 9, whose answers are not always those of
//! MySQL 9, which are given here, and in a session that is not in UTC.

use arrow::datatypes::{DataType, Schema};
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::Expr;
use sqlparser::dialect::MySqlDialect;
use sqlparser::tokenizer::{Token, Tokenizer};

use crate::functions::kernel::Kernel;

/// Functions and operators of which MariaDB makes something else, and what.
pub const ON_MARIADB: &[(&str, &str)] = &[
    ("/", "a quotient keeps digits that it does not show: `1 / 3 * 3` is 1.0000"),
    ("%", "of a negative decimal that leaves nothing is not equal to 0"),
    ("addtime", "the longest TIME ends in .999999"),
    ("bin_to_uuid", "there is none"),
    (
        "cast",
        "to DATE and DATETIME keeps dates that do not exist and cuts off digits of a second; to UNSIGNED gives 0 for negative decimals; spaces at \
         the end of what it gives as CHAR do not count",
    ),
    ("conv", "of a negative number of more than 64 bits is the largest one"),
    (
        "convert",
        "as CAST, keeps dates that do not exist, cuts off digits of a second, and gives 0 for negative decimals",
    ),
    ("convert_tz", "knows no zone beyond +13:00"),
    ("date", "keeps dates that do not exist"),
    ("extract", "of a TIME beyond 24 hours has the hour of the day"),
    ("find_in_set", "finds nothing that has more bytes than the set"),
    ("format", "of a negative double that is rounded to 0 has no sign"),
    ("from_unixtime", "ends in 2038, and cuts off what is smaller than a microsecond"),
    ("greatest", "of integers with and without sign, and of doubles, keeps digits or signs that the others have not"),
    ("insert", "of a number or date takes text of another character set for bytes"),
    ("is_ipv4", "of NULL is 0"),
    ("is_ipv4_compat", "of NULL is 0"),
    ("is_ipv4_mapped", "of NULL is 0"),
    ("is_ipv6", "of NULL is 0"),
    ("is_uuid", "there is none"),
    ("least", "of integers with and without sign, and of doubles, keeps digits or signs that the others have not"),
    ("locate", "finds an empty text behind the end"),
    ("log2", "has another last digit"),
    ("lpad", "of a number or date takes text of another character set for bytes"),
    ("maketime", "the longest TIME ends in .999999"),
    ("pi", "shows six digits in some products"),
    ("regexp_like", "there is none: write `x RLIKE pattern`"),
    ("regexp_substr", "gives '' where nothing is found"),
    ("replace", "gives the text where a NULL is not needed"),
    ("round", "adds zeros where it rounds to more digits than there are"),
    ("rpad", "of a number or date takes text of another character set for bytes"),
    ("sec_to_time", "the longest TIME ends in .999999, and what is smaller than a microsecond is cut off"),
    ("str_to_date", "reads beginnings, and the year 0"),
    ("subtime", "the longest TIME ends in .999999"),
    ("time_to_sec", "has a fraction"),
    ("timediff", "the longest TIME ends in .999999"),
    ("timestamp", "keeps dates that do not exist"),
    ("truncate", "adds zeros where there are fewer digits"),
    ("unknown", "`(a, b) = (1, NULL) IS UNKNOWN` is false"),
    ("unix_timestamp", "ends in 2038"),
    ("uuid_to_bin", "there is none"),
    ("xor", "rounds its numbers: `x XOR 0.5` is `x XOR 1`"),
];

/// Functions and operators of which MySQL 5.6 makes something else, and what. Versions up to 8.4 may, too: none of them has been asked.
pub const BEFORE_MYSQL_9: &[(&str, &str)] = &[
    ("/", "a quotient keeps digits that it does not show: `1 / 3 * 3` is 1.0000"),
    ("cast", "to CHAR gives text to which spaces at the end do not count"),
    ("conv", "of a negative number of more than 64 bits is the largest one"),
    ("convert", "to CHAR gives text to which spaces at the end do not count"),
    ("from_unixtime", "ends in 2038"),
    ("greatest", "of integers with and without sign is signed"),
    ("in", "of rows among rows is NULL where a member is NULL and another differs"),
    ("is_ipv4", "of NULL is 0"),
    ("is_ipv4_compat", "of NULL is 0"),
    ("is_ipv4_mapped", "of NULL is 0"),
    ("is_ipv6", "of NULL is 0"),
    ("is_uuid", "there is none"),
    ("least", "of integers with and without sign is signed"),
    ("regexp_like", "there is none: write `x RLIKE pattern`"),
    ("round", "adds zeros where it rounds to more digits than there are"),
    ("str_to_date", "keeps dates that do not exist"),
    ("unix_timestamp", "ends in 2038"),
    ("xor", "rounds its numbers: `x XOR 0.5` is `x XOR 1`"),
];

/// Those of [`ON_MARIADB`] that an expression calls.
pub fn on_mariadb(expression: &str) -> Vec<(&'static str, &'static str)> {
    called(expression, ON_MARIADB)
}

/// Those of [`BEFORE_MYSQL_9`] that an expression calls.
pub fn before_mysql_9(expression: &str) -> Vec<(&'static str, &'static str)> {
    called(expression, BEFORE_MYSQL_9)
}

fn called(expression: &str, list: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let Ok(tokens) = Tokenizer::new(&MySqlDialect {}, expression).tokenize() else { return Vec::new() };
    let tokens: Vec<&Token> = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    let names = |name: &str| {
        tokens.iter().any(|token| matches!(token, Token::Word(word) if word.value.eq_ignore_ascii_case(name)))
    };
    let is_called = |name: &str| {
        // Only to these types.
        if matches!(name, "cast" | "convert") && !["date", "datetime", "unsigned", "char"].into_iter().any(names) {
            return false;
        }
        tokens.iter().enumerate().any(|(at, token)| match token {
            Token::Div => name == "/",
            Token::Mod => name == "%",
            // `(a, b) IN` and `(a, b) NOT IN`.
            Token::Word(word) if name == "in" => {
                let is = |word: &str| matches!(tokens[at - 1], Token::Word(before) if before.value.eq_ignore_ascii_case(word));
                let before = match at {
                    0 => None,
                    at if is("not") => at.checked_sub(2),
                    at => Some(at - 1),
                };
                word.value.eq_ignore_ascii_case("in") && before.is_some_and(|before| *tokens[before] == Token::RParen)
            }
            Token::Word(word) if name == "%" => word.quote_style.is_none() && word.value.eq_ignore_ascii_case("mod"),
            Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(name) => {
                matches!(name, "unknown" | "xor") || matches!(tokens.get(at + 1), Some(Token::LParen))
            }
            _ => false,
        })
    };
    list.iter().filter(|(name, _)| is_called(name)).copied().collect()
}

/// Whether what an expression gives depends on the session's zone: it is UTC's here.
pub(crate) fn depends_on_zone(expr: &Expr, columns: &Schema) -> bool {
    let is_moment = |expr: &Expr| match expr {
        Expr::Column(column) => columns
            .field_with_name(column.name())
            .is_ok_and(|field| matches!(field.data_type(), DataType::Timestamp(_, Some(_)))),
        _ => false,
    };
    let mut depends = false;
    let visited = expr.apply(|node| {
        match (node, Kernel::of(node)) {
            (Expr::IsNull(inner) | Expr::IsNotNull(inner), _) if is_moment(inner) => {
                return Ok(TreeNodeRecursion::Jump);
            }
            // The seconds of a moment are the same everywhere.
            (_, Some((kernel, [moment]))) if kernel.name() == "unix_timestamp" && is_moment(moment) => {
                return Ok(TreeNodeRecursion::Jump);
            }
            (_, Some((kernel, _))) if matches!(kernel.name(), "unix_timestamp" | "from_unixtime") => depends = true,
            (node, _) => depends |= is_moment(node),
        }
        Ok(if depends { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    depends || visited.is_err()
}
