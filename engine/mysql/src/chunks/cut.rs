//! Where a table is cut.

use super::{ChunkKey, KeyColumn, KeyOrder, KeyRange, KeyValue};
use crate::wire::WireError;

/// What cutting asks of the server.
pub(crate) trait Prober {
    /// Whether no two rows have the same value in the first key column.
    fn first_is_unique(&self) -> bool;

    /// Smallest and largest value of the first key column; none if there is no row.
    fn bounds(&mut self) -> Result<Option<(i128, i128)>, WireError>;

    /// About how many rows have the first key column in `low..=high`. `None` if no index could tell.
    fn estimate(&mut self, low: i128, high: i128) -> Result<Option<u64>, WireError>;

    /// Whether the server finds a row in the range.
    fn holds_rows(&mut self, range: &KeyRange) -> Result<bool, WireError>;

    /// The key that stands `rows` places after the first one in the range, but beyond the range's lower border.
    fn key_after(&mut self, range: &KeyRange, rows: u64) -> Result<Option<Vec<KeyValue>>, WireError>;
}

/// Parts into which a span is divided at a time: few, so that little is asked about a gap; several, so that a large
/// dense table is soon divided enough.
const DIVISION: u64 = 16;

/// Cuts what lies at or after `from` and gives each range to `emit`, in the order of the key. The last has no upper
/// border. Fails where the server or `emit` does; to go on, cut from the last range's upper border.
pub(crate) fn cut<E: From<WireError>>(
    prober: &mut dyn Prober,
    key: &ChunkKey,
    from: Option<Vec<KeyValue>>,
    chunk_rows: u64,
    emit: &mut dyn FnMut(KeyRange) -> Result<(), E>,
) -> Result<(), E> {
    let chunk_rows = chunk_rows.max(1);
    let mut borders = Borders { lower: from, emit };
    match key.columns.first() {
        None => {}
        Some(KeyColumn { order: KeyOrder::Integer, .. }) => {
            cut_integers(prober, key.columns.len() > 1, chunk_rows, &mut borders)?;
        }
        Some(_) => cut_at_samples(prober, None, chunk_rows, &mut borders)?,
    }
    borders.end()
}

/// Where about so many rows of a range end. None, if it has no more or the server cannot tell.
pub(crate) fn border_after(
    prober: &mut dyn Prober,
    range: &KeyRange,
    rows: u64,
) -> Result<Option<Vec<KeyValue>>, WireError> {
    match prober.key_after(range, rows.max(1))? {
        // The server compares by a rule that our text form of the key does not survive: leave the rest in one chunk.
        Some(border) if range.lower.as_ref() == Some(&border) => Ok(None),
        Some(border) => {
            // Also a character without a Unicode one, which is sent as `?`, may give a border that lies before the last
            // one. If a row lies between the two, they are in order.
            let is_text = border.iter().any(|value| matches!(value, KeyValue::Text(_)));
            let next = KeyRange { lower: range.lower.clone(), upper: Some(border.clone()) };
            if is_text && next.lower.is_some() && !prober.holds_rows(&next)? {
                tracing::warn!("a key of text does not survive being sent: the rest of its table is read in one chunk");
                return Ok(None);
            }
            Ok(Some(border))
        }
        None => Ok(None),
    }
}

/// The chunk that is open, and where finished ones go.
struct Borders<'a, E> {
    lower: Option<Vec<KeyValue>>,
    emit: &'a mut dyn FnMut(KeyRange) -> Result<(), E>,
}

impl<E> Borders<'_, E> {
    fn close(&mut self, upper: Vec<KeyValue>) -> Result<(), E> {
        let lower = self.lower.replace(upper.clone());
        (self.emit)(KeyRange { lower, upper: Some(upper) })
    }

    fn end(&mut self) -> Result<(), E> {
        (self.emit)(KeyRange { lower: self.lower.take(), upper: None })
    }
}

fn cut_integers<E: From<WireError>>(
    prober: &mut dyn Prober,
    composite: bool,
    chunk_rows: u64,
    borders: &mut Borders<'_, E>,
) -> Result<(), E> {
    // Up to here a chunk is not worth dividing, nor joining with the next.
    let enough = chunk_rows + chunk_rows / 2;
    let Some((mut low, high)) = prober.bounds()? else { return Ok(()) };
    if let Some([KeyValue::Int(from), ..]) = borders.lower.as_deref() {
        low = low.max(*from);
    }
    let unique = prober.first_is_unique();
    let largest = high;
    // Rows of the open chunk, estimated.
    let mut open = 0;
    // Spans still to be looked at, the leftmost on top, with what is known to be too much for their rows.
    let mut spans = vec![(low, high, u64::MAX)];
    while let Some((low, high, at_most)) = spans.pop() {
        if low > high {
            continue;
        }
        let span = u64::try_from(high - low).map_or(u64::MAX, |distance| distance.saturating_add(1));
        let mut estimate = if unique && span <= enough {
            // As many rows at most as there are integers.
            span
        } else {
            match prober.estimate(low, high)? {
                Some(rows) => rows.min(at_most),
                // No index serves this column: each chunk would read the whole table.
                None => return Ok(()),
            }
        };
        let mut at_most_within = estimate;
        // MySQL answers with 10 where rows come and go while it counts: that of a whole table is looked into.
        if estimate <= enough && at_most == u64::MAX && span > enough {
            let key = |value| vec![KeyValue::Int(value)];
            let part = KeyRange { lower: Some(key(low)), upper: (high < largest).then(|| key(high + 1)) };
            if prober.key_after(&part, enough)?.is_some() {
                (estimate, at_most_within) = (enough + 1, at_most);
            }
        }
        if estimate <= enough {
            if open > 0 && open + estimate > enough {
                borders.close(vec![KeyValue::Int(low)])?;
                open = 0;
            }
            open += estimate;
        } else if span == 1 {
            if open > 0 {
                borders.close(vec![KeyValue::Int(low)])?;
            }
            if composite {
                cut_at_samples(prober, Some(vec![KeyValue::Int(low + 1)]), chunk_rows, borders)?;
            }
            open = estimate.min(chunk_rows);
        } else if unique && span / estimate < 2 {
            // So dense that nothing more need be asked: no part of this width can hold more than `enough` rows.
            if open > 0 {
                borders.close(vec![KeyValue::Int(low)])?;
            }
            let width = u128::from(chunk_rows) * u128::from(span) / u128::from(estimate);
            let width = (width as i128).clamp(i128::from(chunk_rows), i128::from(enough));
            let mut border = low + width;
            while border <= high {
                borders.close(vec![KeyValue::Int(border)])?;
                border += width;
            }
            open = u64::try_from(high - (border - width) + 1).unwrap_or(enough);
        } else {
            let parts = estimate.div_ceil(chunk_rows).clamp(2, DIVISION).min(span);
            let step = (high - low + 1) / i128::from(parts);
            for part in (0..i128::from(parts)).rev() {
                let begin = low + part * step;
                let end = if part + 1 == i128::from(parts) { high } else { begin + step - 1 };
                spans.push((begin, end, at_most_within));
            }
        }
    }
    Ok(())
}

fn cut_at_samples<E: From<WireError>>(
    prober: &mut dyn Prober,
    until: Option<Vec<KeyValue>>,
    chunk_rows: u64,
    borders: &mut Borders<'_, E>,
) -> Result<(), E> {
    let mut range = KeyRange { lower: borders.lower.clone(), upper: until };
    while let Some(border) = border_after(prober, &range, chunk_rows)? {
        range.lower = Some(border.clone());
        borders.close(border)?;
    }
    Ok(())
}
