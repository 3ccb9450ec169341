//! `mysqlType` and `sqlType`: what a message says of its columns' types.
//!
//! `sqlType` holds codes of `java.sql.Types`. For unsigned integers the code depends on the value: Canal names the next
//! wider type once the value is beyond the signed range. Of a SET written as bits and of a JSON, NULL has another code than a value.
//!
//! | MySQL | code | |
//! |---|---|---|
//! | TINYINT, SMALLINT, INT, BIGINT | -6, 5, 4, -5 | above the signed maximum 5, 4, -5, 3 |
//! | MEDIUMINT | 4 | |
//! | DECIMAL, FLOAT, DOUBLE, BIT | 3, 7, 8, -7 | |
//! | DATE, TIME, DATETIME, TIMESTAMP, YEAR | 91, 92, 93, 93, 12 | |
//! | CHAR, VARCHAR, TEXT | 1, 12, 2005 | |
//! | JSON | 12 | 1111 when NULL |
//! | BINARY, VARBINARY, BLOB, GEOMETRY | 2004 | |
//! | ENUM | 4 | 1 when written as a label: a reader must not parse it as a number |
//! | SET | -7 | 2004 when NULL; 1 when written as labels |
//! | VECTOR | 12 | Canal knows no VECTOR; ours is text, as JSON is |

use std::borrow::Cow;

use super::{CanalOptions, MysqlType};
use crate::encode::text::{EnumText, SetText, TextColumn};
use tidegate_model::{Column, SqlType};

/// A column's code of `java.sql.Types`, as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SqlTypeCode {
    Always(&'static str),
    /// Of an unsigned integer: `above` for values beyond `max`, else `small`.
    Unsigned {
        small: &'static str,
        max: u64,
        above: &'static str,
    },
    Nullable {
        value: &'static str,
        null: &'static str,
    },
}

impl SqlTypeCode {
    pub(super) fn of(sql_type: &SqlType, options: &CanalOptions) -> SqlTypeCode {
        use SqlTypeCode::*;
        match sql_type {
            SqlType::Int { bytes: 1, unsigned: true } => Unsigned { small: "-6", max: i8::MAX as u64, above: "5" },
            SqlType::Int { bytes: 2, unsigned: true } => Unsigned { small: "5", max: i16::MAX as u64, above: "4" },
            SqlType::Int { bytes: 4, unsigned: true } => Unsigned { small: "4", max: i32::MAX as u64, above: "-5" },
            SqlType::Int { bytes: 8, unsigned: true } => Unsigned { small: "-5", max: i64::MAX as u64, above: "3" },
            SqlType::Int { bytes: 1, .. } => Always("-6"),
            SqlType::Int { bytes: 2, .. } => Always("5"),
            SqlType::Int { bytes: 8, .. } => Always("-5"),
            SqlType::Int { .. } => Always("4"),
            SqlType::Decimal { .. } => Always("3"),
            SqlType::Float => Always("7"),
            SqlType::Double => Always("8"),
            SqlType::Bit { .. } => Always("-7"),
            SqlType::Date => Always("91"),
            SqlType::Time { .. } => Always("92"),
            SqlType::DateTime { .. } | SqlType::Timestamp { .. } => Always("93"),
            SqlType::Year | SqlType::VarChar | SqlType::Vector => Always("12"),
            SqlType::Json => Nullable { value: "12", null: "1111" },
            SqlType::Char => Always("1"),
            SqlType::Text => Always("2005"),
            SqlType::Binary { .. } | SqlType::VarBinary | SqlType::Blob | SqlType::Geometry => Always("2004"),
            SqlType::Enum { .. } => match options.enum_as {
                EnumText::Index => Always("4"),
                EnumText::Label => Always("1"),
            },
            SqlType::Set { .. } => match options.set_as {
                SetText::Bits => Nullable { value: "-7", null: "2004" },
                SetText::Labels => Always("1"),
            },
        }
    }

    pub(super) fn for_value(self, column: &TextColumn, row: usize) -> &'static str {
        match self {
            SqlTypeCode::Always(code) => code,
            SqlTypeCode::Unsigned { small, max, above } => {
                if !column.is_null(row) && column.unsigned(row) > max {
                    above
                } else {
                    small
                }
            }
            SqlTypeCode::Nullable { value, null } => {
                if column.is_null(row) {
                    null
                } else {
                    value
                }
            }
        }
    }
}

/// The type's text; without parameters it is what is left of `decimal(10,2) unsigned` when the parentheses go.
pub(super) fn mysql_type(column: &Column, form: MysqlType) -> Cow<'_, str> {
    let text = column.type_text.as_str();
    match (form, text.find('('), text.rfind(')')) {
        (MysqlType::Base, Some(open), Some(close)) if open < close => {
            Cow::Owned(format!("{}{}", &text[..open], &text[close + 1..]))
        }
        _ => Cow::Borrowed(text),
    }
}
