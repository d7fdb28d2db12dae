//! Exit codes of the command: 0 ended as asked, 1 anything else, 2 usage, 3 port or folder in use; and of programs that stand in
//! for others, what theirs are.

use std::fmt;

/// A failure that has an exit code of its own; any other error means 1.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// A failure with the exit code of a program that we stand in for.
    pub fn with_code(code: u8, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }

    /// A failure of which everything is said: the exit code alone is left.
    #[must_use]
    pub fn said(code: u8) -> Self {
        Self { code, message: String::new() }
    }

    /// Bad arguments.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::with_code(2, message)
    }

    /// A port or folder that someone else has.
    pub fn in_use(message: impl fmt::Display) -> Self {
        Self::with_code(3, message)
    }

    /// The exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
