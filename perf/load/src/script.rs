//! What a session says: a conversation that is ready to be sent.

use std::any::Any;
use std::fmt::Debug;

/// What was answered to a turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// What the user reads.
    pub text: String,
    /// What the model thought.
    pub reasoning: String,
    /// Calls of tools: where this is a JSON list they are said again as calls, else as text.
    pub tools: String,
}

/// A conversation whose requests can be written without thinking.
pub trait Script: Any + Debug + Send + Sync {
    /// Its name in the data set.
    fn id(&self) -> &str;
    /// How many turns it has.
    fn turns(&self) -> usize;
    /// When a turn may leave.
    fn turn(&self, turn: usize) -> TurnTime;
    /// Whether later turns repeat what was answered to earlier ones.
    fn keeps_answers(&self) -> bool;
    /// Appends a turn's body. `answers` are those of the turns before it; where one failed there is none.
    fn body(&self, turn: usize, answers: &[Option<Answer>], out: &mut Vec<u8>);
}

/// When a turn behind the first may leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnTime {
    /// So long after the turn before it has come back.
    pub delay: Option<u64>,
    /// Not before this, from the start of the phase.
    pub at: Option<u64>,
}
