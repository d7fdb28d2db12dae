//! Why a key is to be worked on, as a value: it travels with the key through the queue, is merged while the key waits,
//! and shows in logs and metrics.

use std::fmt;

/// One reason to work on a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// A list showed the object.
    Listed,
    /// A watch showed a new version of the object.
    Changed,
    /// A watch or a list showed that the object is gone.
    Deleted,
    /// Something that the object owns or depends on has changed.
    Related,
    /// A call of our own about the object was answered.
    Answered,
    /// News from outside the API: a stream, a process.
    Reported,
    /// Its time has come.
    Due,
    /// The last attempt failed.
    Retried,
}

impl Reason {
    /// All of them, in order.
    pub const ALL: [Self; 8] =
        [Self::Listed, Self::Changed, Self::Deleted, Self::Related, Self::Answered, Self::Reported, Self::Due, Self::Retried];

    /// As logs and metrics call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Changed => "changed",
            Self::Deleted => "deleted",
            Self::Related => "related",
            Self::Answered => "answered",
            Self::Reported => "reported",
            Self::Due => "due",
            Self::Retried => "retried",
        }
    }
}

/// The reasons that have come together for one key. Shown as `changed+related`.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Reasons(u8);

impl Reasons {
    /// Adds what `more` has.
    pub fn merge(&mut self, more: impl Into<Self>) {
        self.0 |= more.into().0;
    }

    /// Whether `reason` is among them.
    #[must_use]
    pub fn has(self, reason: Reason) -> bool {
        self.0 & Self::from(reason).0 != 0
    }

    /// Each of them, in order.
    pub fn iter(self) -> impl Iterator<Item = Reason> {
        Reason::ALL.into_iter().filter(move |r| self.has(*r))
    }
}

impl From<Reason> for Reasons {
    fn from(reason: Reason) -> Self {
        Self(1 << reason as u8)
    }
}

impl fmt::Display for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, reason) in self.iter().enumerate() {
            write!(f, "{}{}", if i > 0 { "+" } else { "" }, reason.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_a_set_in_order() {
        let mut reasons = Reasons::from(Reason::Related);
        reasons.merge(Reason::Changed);
        reasons.merge(Reason::Related);
        assert_eq!(reasons.to_string(), "changed+related");
        assert!(reasons.has(Reason::Changed) && !reasons.has(Reason::Due));
        assert_eq!(Reason::ALL.map(|r| Reasons::from(r).iter().collect::<Vec<_>>()), Reason::ALL.map(|r| vec![r]));
    }
}
