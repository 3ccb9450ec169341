//! Table maps: what the binlog itself says of a table before its rows.
//!
//! ```text
//! table id 6 │ flags 2 │ database │ table │ column count │ a type per column │ metadata per column │ null bits │ optional
//!
//! type 15, metadata 80 0   VARCHAR of at most 128 bytes
//! type 254, metadata f7 1  a STRING that is really an ENUM of one byte
//! optional                 type 1 │ length │ content, repeated: signedness, character sets, names, labels, keys …
//! ```
//!
//! Signedness and character sets are always there since MySQL 8.0; names, labels and keys come with
//! `binlog_row_metadata=FULL`. Each kind of optional content lists only the columns which it concerns, by their order among
//! those. The column types are read on demand, so that a type nobody knows hurts only who captures its table.
//!
//! *MariaDB* has columns in its table maps that the table has not: behind the others, a hash for each UNIQUE key over long
//! columns. With full metadata they are known by their name. And it says BINARY(16) of a UUID or an INET6, VARBINARY of a VECTOR, and no
//! fraction of times in its old format; so a table with a column that may be one of these is not described by its map.

use super::error::Fault;
use super::event::{Input, Short};
use tidegate_model::TableName;

/// How a column's values lie in row images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireType {
    /// 1, 2, 3, 4 or 8 bytes.
    Int(u8),
    Float,
    Double,
    Decimal {
        precision: u8,
        scale: u8,
    },
    /// Width in bits.
    Bit(u8),
    Year,
    Date,
    /// The three with the digits of their fraction.
    Time(u8),
    DateTime(u8),
    Timestamp(u8),
    /// The same as MySQL before 5.6 stored them, without fraction.
    OldTime,
    OldDateTime,
    OldTimestamp,
    /// CHAR and BINARY, of at most so many bytes.
    Fixed {
        bytes_max: u16,
    },
    /// VARCHAR and VARBINARY.
    Variable {
        bytes_max: u16,
    },
    /// TEXT and BLOB. Here and below: bytes of the length before each value.
    Blob(u8),
    /// Both of MariaDB, COMPRESSED: with the byte that says how.
    CompressedVariable {
        bytes_max: u16,
    },
    CompressedBlob(u8),
    Json(u8),
    Geometry(u8),
    Vector(u8),
    /// Bytes of the number.
    Enum(u8),
    Set(u8),
}

/// A table map, borrowed from its event.
#[derive(Debug)]
pub struct TableMap<'a> {
    pub database: &'a str,
    pub table: &'a str,
    types: &'a [u8],
    metadata: &'a [u8],
    nullable: &'a [u8],
    optional: &'a [u8],
    /// See [`FormatDescription::mariadb`](super::FormatDescription).
    pub(super) mariadb: Option<[u32; 3]>,
}

/// How columns begin that servers add to a table, behind its own, and show nowhere else: MariaDB's hash of a UNIQUE key over long values, and
/// the primary key that RDS, PolarDB and PolarDB-X make for a table without one. All are numbers of eight bytes.
const HIDDEN_NAMES: [&str; 3] = ["DB_ROW_HASH_", "__#alibaba_rds_row_id#__", "_drds_implicit_id_"];

/// What the optional metadata says of one column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnDetails<'a> {
    pub unsigned: Option<bool>,
    /// Collation number of text, binary strings and vectors (63), ENUM and SET.
    pub collation: Option<u16>,
    pub name: Option<&'a str>,
    /// ENUM and SET labels in the column's character set.
    pub labels: Option<Vec<&'a [u8]>>,
    pub geometry: Option<u8>,
    pub invisible: bool,
    /// Of a VECTOR.
    pub dimensions: Option<u32>,
}

/// What the optional metadata says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details<'a> {
    pub columns: Vec<ColumnDetails<'a>>,
    /// Column indexes of the primary key.
    pub primary_key: Option<Vec<usize>>,
    /// The primary key is one on the first characters of a column, which the catalogue's reader does not count as a key.
    pub has_prefix_key: bool,
}

impl<'a> TableMap<'a> {
    /// Reads what follows the table id.
    pub fn parse(body: &'a [u8]) -> Result<TableMap<'a>, Fault> {
        let mut input = Input::new(body);
        input.u16()?; // flags
        let mut name = || -> Result<&'a str, Fault> {
            let length = input.u8()?;
            let name = input.take(length as usize)?;
            input.u8()?;
            std::str::from_utf8(name).map_err(|_| Fault::Damaged("a name in it is not text"))
        };
        let (database, table) = (name()?, name()?);
        let column_count = usize::try_from(input.lenenc()?).map_err(|_| Short)?;
        if column_count == 0 {
            return Err(Fault::Damaged("a table without columns"));
        }
        let types = input.take(column_count)?;
        let metadata = input.lenenc_bytes()?;
        let nullable = input.take(column_count.div_ceil(8))?;
        Ok(TableMap { database, table, types, metadata, nullable, optional: input.rest(), mariadb: None })
    }

    /// As a server of this version means it.
    pub fn of_mariadb(self, mariadb: Option<[u32; 3]>) -> TableMap<'a> {
        TableMap { mariadb, ..self }
    }

    pub fn name(&self) -> TableName {
        TableName::new(self.database, self.table)
    }

    pub fn column_count(&self) -> usize {
        self.types.len()
    }

    pub fn is_nullable(&self, column: usize) -> bool {
        self.nullable[column >> 3] & 1 << (column & 7) != 0
    }

    /// The columns' types, or the number of one that is not known: the metadata of those behind it cannot be found then.
    pub fn wire_types(&self) -> Result<Vec<WireType>, Fault> {
        let mut input = Input::new(self.metadata);
        let types = self.types.iter().map(|&code| wire_type(code, &mut input)).collect::<Result<_, _>>()?;
        if !input.is_empty() {
            return Err(Fault::Damaged("its columns' metadata is longer than its columns need"));
        }
        Ok(types)
    }

    pub fn details(&self) -> Result<Details<'a>, Fault> {
        let types = self.wire_types()?;
        let mut columns = vec![ColumnDetails::default(); types.len()];
        let mut primary_key = None;
        let mut has_prefix_key = false;
        let all = |wanted: fn(&WireType) -> bool| -> Vec<usize> {
            types.iter().enumerate().filter(|(_, wire)| wanted(wire)).map(|(index, _)| index).collect()
        };
        let is_label = |wire: &WireType| matches!(wire, WireType::Enum(_) | WireType::Set(_));
        let mut fields = Input::new(self.optional);
        while !fields.is_empty() {
            let field = fields.u8()?;
            let mut content = Input::new(fields.lenenc_bytes()?);
            match field {
                1 => {
                    for (order, index) in all(is_number).into_iter().enumerate() {
                        columns[index].unsigned = Some(bit_from_left(content.rest(), order)?);
                    }
                }
                2 => default_collations(&mut columns, &all(has_collation), content)?,
                3 => collations(&mut columns, &all(has_collation), content)?,
                4 => {
                    for column in &mut columns {
                        let name = std::str::from_utf8(content.lenenc_bytes()?);
                        column.name = Some(name.map_err(|_| Fault::Damaged("a name in it is not text"))?);
                    }
                }
                5 => labels(&mut columns, &all(|wire| matches!(wire, WireType::Set(_))), content)?,
                6 => labels(&mut columns, &all(|wire| matches!(wire, WireType::Enum(_))), content)?,
                7 => {
                    for index in all(|wire| matches!(wire, WireType::Geometry(_))) {
                        columns[index].geometry = u8::try_from(content.lenenc()?).ok();
                    }
                }
                8 | 9 => {
                    let mut key = Vec::new();
                    while !content.is_empty() {
                        let index = usize::try_from(content.lenenc()?).map_err(|_| Short)?;
                        if index >= columns.len() {
                            return Err(Fault::Damaged("its primary key has a column that the table has not"));
                        }
                        key.push(index);
                        if field == 9 {
                            has_prefix_key |= content.lenenc()? > 0;
                        }
                    }
                    primary_key = Some(key);
                }
                10 => default_collations(&mut columns, &all(is_label), content)?,
                11 => collations(&mut columns, &all(is_label), content)?,
                12 => {
                    for (index, column) in columns.iter_mut().enumerate() {
                        column.invisible = !bit_from_left(content.rest(), index)?;
                    }
                }
                13 => {
                    for index in all(|wire| matches!(wire, WireType::Vector(_))) {
                        columns[index].dimensions = u32::try_from(content.lenenc()?).ok();
                    }
                }
                _ => {}
            }
        }
        primary_key = primary_key.filter(|_| !has_prefix_key);
        Ok(Details { columns, primary_key, has_prefix_key })
    }
}

pub(super) fn is_number(wire: &WireType) -> bool {
    // YEAR is a number here.
    matches!(wire, WireType::Int(_) | WireType::Float | WireType::Double | WireType::Decimal { .. } | WireType::Year)
}

pub(super) fn has_collation(wire: &WireType) -> bool {
    // The server counts a VECTOR, which it stores as a BLOB, among the strings; JSON and GEOMETRY it does not.
    use WireType::{Blob, CompressedBlob, CompressedVariable, Fixed, Variable, Vector};
    matches!(wire, Fixed { .. } | Variable { .. } | Blob(_) | CompressedVariable { .. } | CompressedBlob(_) | Vector(_))
}

impl Details<'_> {
    /// How many columns the table has, if it shows none of those that its server has added behind them.
    pub fn visible_count(&self) -> usize {
        let is_hidden = |name: &str| HIDDEN_NAMES.iter().any(|hidden| name.starts_with(hidden));
        let is_hidden = |column: &ColumnDetails<'_>| column.name.is_some_and(is_hidden);
        self.columns.len() - self.columns.iter().rev().take_while(|column| is_hidden(column)).count()
    }
}

fn bit_from_left(bits: &[u8], index: usize) -> Result<bool, Short> {
    Ok(bits.get(index >> 3).ok_or(Short)? & 0x80 >> (index & 7) != 0)
}

fn collation(content: &mut Input<'_>) -> Result<u16, Fault> {
    u16::try_from(content.lenenc()?).map_err(|_| Fault::Damaged("a collation in it is out of range"))
}

fn collations(columns: &mut [ColumnDetails<'_>], indexes: &[usize], mut content: Input<'_>) -> Result<(), Fault> {
    for &index in indexes {
        columns[index].collation = Some(collation(&mut content)?);
    }
    Ok(())
}

/// One collation for all, then pairs of an index among the columns concerned and its own collation.
fn default_collations(
    columns: &mut [ColumnDetails<'_>],
    indexes: &[usize],
    mut content: Input<'_>,
) -> Result<(), Fault> {
    let default = collation(&mut content)?;
    for &index in indexes {
        columns[index].collation = Some(default);
    }
    while !content.is_empty() {
        let order = usize::try_from(content.lenenc()?).map_err(|_| Short)?;
        let index = *indexes.get(order).ok_or(Fault::Damaged("a character set in it is for no column"))?;
        columns[index].collation = Some(collation(&mut content)?);
    }
    Ok(())
}

fn labels<'a>(columns: &mut [ColumnDetails<'a>], indexes: &[usize], mut content: Input<'a>) -> Result<(), Fault> {
    for &index in indexes {
        let count = content.lenenc()?;
        columns[index].labels = Some((0..count).map(|_| content.lenenc_bytes()).collect::<Result<_, _>>()?);
    }
    Ok(())
}

fn wire_type(code: u8, metadata: &mut Input<'_>) -> Result<WireType, Fault> {
    let fraction =
        |digits: u8| if digits <= 6 { Ok(digits) } else { Err(Fault::Damaged("a fraction of over 6 digits")) };
    let length_bytes =
        |bytes: u8| if (1..=4).contains(&bytes) { Ok(bytes) } else { Err(Fault::Damaged("a length of over 4 bytes")) };
    Ok(match code {
        1 => WireType::Int(1),
        2 => WireType::Int(2),
        3 => WireType::Int(4),
        8 => WireType::Int(8),
        9 => WireType::Int(3),
        4 => {
            metadata.u8()?;
            WireType::Float
        }
        5 => {
            metadata.u8()?;
            WireType::Double
        }
        7 => WireType::OldTimestamp,
        10 | 14 => WireType::Date,
        11 => WireType::OldTime,
        12 => WireType::OldDateTime,
        13 => WireType::Year,
        15 | 253 => WireType::Variable { bytes_max: metadata.u16()? },
        140 => WireType::CompressedBlob(length_bytes(metadata.u8()?)?),
        141 => WireType::CompressedVariable { bytes_max: metadata.u16()? },
        16 => {
            let [bits, bytes] = metadata.array()?;
            let width = bytes as u32 * 8 + bits as u32;
            if bits > 7 || !(1..=64).contains(&width) {
                return Err(Fault::Damaged("a BIT of over 64 bits"));
            }
            WireType::Bit(width as u8)
        }
        17 => WireType::Timestamp(fraction(metadata.u8()?)?),
        18 => WireType::DateTime(fraction(metadata.u8()?)?),
        19 => WireType::Time(fraction(metadata.u8()?)?),
        242 => WireType::Vector(length_bytes(metadata.u8()?)?),
        245 => WireType::Json(length_bytes(metadata.u8()?)?),
        246 => {
            let [precision, scale] = metadata.array()?;
            if !(1..=65).contains(&precision) || scale > 30 || scale > precision {
                return Err(Fault::Damaged("a DECIMAL of over 65 digits"));
            }
            WireType::Decimal { precision, scale }
        }
        249..=252 => WireType::Blob(length_bytes(metadata.u8()?)?),
        255 => WireType::Geometry(length_bytes(metadata.u8()?)?),
        247 | 248 | 254 => {
            let [first, second] = metadata.array()?;
            // Lengths above 255 hide their two high bits, inverted, in the type's byte.
            let (real, length) = match first & 0x30 {
                0x30 => (first, second as u16),
                high => (first | 0x30, ((high ^ 0x30) as u16) << 4 | second as u16),
            };
            match real {
                247 if matches!(length, 1 | 2) => WireType::Enum(length as u8),
                248 if matches!(length, 1..=4 | 8) => WireType::Set(length as u8),
                254 => WireType::Fixed { bytes_max: length },
                _ => return Err(Fault::Damaged("a string column of an unknown kind")),
            }
        }
        _ => return Err(Fault::Damaged("a column type in it is unknown")),
    })
}
