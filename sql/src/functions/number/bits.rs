//! Operators over bits.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Int64Type, UInt64Type};
use datafusion_common::Result;

use super::super::kernel::{Call, Cell, Kernel};
use super::{Integers, Run};

/// The bits of integers, of which MySQL's operators make unsigned ones.
struct Bits<'a>(Integers<'a>);

impl Bits<'_> {
    fn get(&self, row: usize) -> Cell<u64> {
        Ok(self.0.get(row)? as u64)
    }
}

/// An operator over bits. The other four are named as MySQL writes them.
pub(crate) fn of_bits(op: &'static str) -> Option<Kernel> {
    let run: Run = match op {
        "&" => |call| bitwise(call, |a, b| a & b),
        "|" => |call| bitwise(call, |a, b| a | b),
        "^" => |call| bitwise(call, |a, b| a ^ b),
        "<<" => |call| bitwise(call, |a, b| if b < 64 { a << b } else { 0 }),
        ">>" => |call| bitwise(call, |a, b| if b < 64 { a >> b } else { 0 }),
        "~" => |call| {
            let values = Bits(Integers::of(call, 0));
            call.make_numbers::<UInt64Type>(|row| Ok(!values.get(row)?))
        },
        _ => return None,
    };
    Some(Kernel::new(op, DataType::UInt64, run).keeps_nulls())
}

fn bitwise(call: &Call<'_>, combine: fn(u64, u64) -> u64) -> Result<ArrayRef> {
    let (left, right) = (Bits(Integers::of(call, 0)), Bits(Integers::of(call, 1)));
    call.make_numbers::<UInt64Type>(|row| Ok(combine(left.get(row)?, right.get(row)?)))
}

pub(in crate::functions) fn bit_count(call: &Call<'_>) -> Result<ArrayRef> {
    let values = Bits(Integers::of(call, 0));
    call.make_numbers::<Int64Type>(|row| Ok(i64::from(values.get(row)?.count_ones())))
}
