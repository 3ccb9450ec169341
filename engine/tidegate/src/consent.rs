//! What a start would refuse or not do by itself, and the user has agreed to on its command line.

use crate::gap::AfterGap;
use crate::remembered::Accept;
use crate::until::Until;
use tidegate_model::Coordinate;

/// What the user has agreed to, for one start.
#[derive(Clone, Debug, Default)]
pub struct Consent {
    /// What follows from a task that is not what it was.
    pub accept: Vec<Accept>,
    /// Where in the binlog rows are lost, by a statement or an XA COMMIT at which a run has stopped.
    pub pass: Vec<Coordinate>,
    /// What is to become of the tables if the server has purged changes that were not read.
    pub after_gap: Option<AfterGap>,
    /// Where the run is to end by itself.
    pub until: Option<Until>,
}

impl Consent {
    /// The options of the command line that say it, and what stands behind them.
    pub fn told(&self) -> Vec<(&'static str, String)> {
        let list = |words: Vec<String>| (!words.is_empty()).then(|| words.join(","));
        let told = [
            ("--accept", list(self.accept.iter().map(|accept| accept.name()).collect())),
            ("--pass", list(self.pass.iter().map(ToString::to_string).collect())),
            ("--accept-gap", self.after_gap.as_ref().map(ToString::to_string)),
            ("--until", self.until.as_ref().map(ToString::to_string)),
        ];
        told.into_iter().filter_map(|(option, value)| Some((option, value?))).collect()
    }
}
