//! Exit codes: 0 ended as asked, 1 anything else, 2 usage, 3 port or folder in use, 4 data that cannot be read.

use std::fmt;
use std::process::ExitCode;

/// A failure that has an exit code of its own.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Bad arguments.
pub(crate) fn usage(message: impl fmt::Display) -> anyhow::Error {
    Failure { code: 2, message: message.to_string() }.into()
}

/// A port or folder that someone else has.
pub(crate) fn in_use(message: impl fmt::Display) -> anyhow::Error {
    Failure { code: 3, message: message.to_string() }.into()
}

/// A failure with the exit code of a program that we stand in for.
pub(crate) fn with_code(code: u8, message: impl fmt::Display) -> anyhow::Error {
    Failure { code, message: message.to_string() }.into()
}

/// Says what went wrong, once, and gives the code.
pub(crate) fn code(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    // Programs that read their own arguments fail as clap does.
    if let Some(error) = error.downcast_ref::<clap::Error>() {
        let _ = error.print();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    }
    dormouse_runtime::output::error_line(&format!("error: {error:#}"));
    ExitCode::from(error.downcast_ref::<Failure>().map_or(1, |f| f.code))
}
