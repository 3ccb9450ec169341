//! Watermarks as a ledger has them, and what two of them say together.

use std::ops::Deref;
use std::sync::Arc;

use tidegate_model::{GtidSet, Watermark};

/// A watermark of a ledger, which has each only once.
#[derive(Clone, Debug)]
pub struct LedgerMark {
    pub(super) number: u32,
    pub(super) watermark: Arc<Watermark>,
}

impl Deref for LedgerMark {
    type Target = Watermark;

    fn deref(&self) -> &Watermark {
        &self.watermark
    }
}

impl PartialEq for LedgerMark {
    fn eq(&self, other: &LedgerMark) -> bool {
        self.watermark == other.watermark
    }
}

impl Eq for LedgerMark {}

/// What two watermarks cover both, unless that is what the first covers: a load may go on at another server, which is behind.
pub(super) fn both_cover(before: &Watermark, next: &Watermark) -> Option<Watermark> {
    match (before, next) {
        (Watermark::Gtids(before), Watermark::Gtids(next)) => {
            (!next.contains_set(before)).then(|| Watermark::Gtids(before.common(next)))
        }
        (Watermark::Coordinate(before), Watermark::Coordinate(next)) => {
            (next < before).then(|| Watermark::Coordinate(next.clone()))
        }
        // Of another kind: nothing can be told.
        (Watermark::Gtids(_), Watermark::Coordinate(_)) | (Watermark::Coordinate(_), Watermark::Gtids(_)) => {
            Some(Watermark::Gtids(GtidSet::default()))
        }
    }
}
