//! Is it meant? Asked before something is done that nobody can take back.

use std::io::IsTerminal;

/// Asks somebody who is there to answer. Who is not at a terminal has meant it.
pub(crate) fn is_meant(question: &str, say: &mut dyn FnMut(&str)) -> bool {
    if !std::io::stdin().is_terminal() {
        return true;
    }
    say(&format!("{question} [y/N] "));
    let mut answer = String::new();
    let is_answered = std::io::stdin().read_line(&mut answer).is_ok();
    is_answered && matches!(answer.trim(), "y" | "Y" | "yes")
}
