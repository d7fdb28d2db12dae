//! What the shell is told: one error, and an exit code (see [`dormouse_console::exit`]).

use std::process::ExitCode;

use dormouse_console::exit::Failure;

/// Says what went wrong, once, and gives the code.
pub(crate) fn code(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    // Programs that read their own arguments fail as clap does.
    if let Some(error) = error.downcast_ref::<clap::Error>() {
        let _ = error.print();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    }
    let told = told(&error);
    // What was found may have been said already.
    if !told.is_empty() {
        dormouse_console::output::error_line(&format!("error: {told}"));
    }
    ExitCode::from(error.downcast_ref::<Failure>().map_or(1, Failure::code))
}

/// What went wrong and why, outermost first. Many errors say their cause in their own text: what was said is not said again.
/// Of an API server's refusal the message is told, not the object that it came in.
pub(crate) fn told(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain() {
        let text = without_object(error, cause.to_string());
        if told.is_empty() {
            told = text;
        } else if !told.contains(&text) {
            told = format!("{told}: {text}");
        }
    }
    told
}

/// A text in which the refusal is its message, as kube's errors print it.
#[cfg(feature = "cluster")]
fn without_object(error: &anyhow::Error, mut text: String) -> String {
    if let Some(refusal) = error.chain().find_map(refusal).filter(|r| !r.message.is_empty()) {
        for long in [format!("ApiError: {refusal} ({refusal:?})"), refusal.to_string()] {
            text = text.replace(&long, &refusal.message);
        }
    }
    text
}

/// Without a system that speaks to an API server nothing refuses.
#[cfg(not(feature = "cluster"))]
fn without_object(_error: &anyhow::Error, text: String) -> String {
    text
}

/// The API server's answer, where that is what this error is.
#[cfg(feature = "cluster")]
fn refusal<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a kube::core::Status> {
    match cause.downcast_ref() {
        Some(kube::Error::Api(status)) => Some(status),
        Some(_) => None,
        None => cause.downcast_ref::<Box<kube::core::Status>>().map(AsRef::as_ref),
    }
}

#[cfg(all(test, feature = "cluster"))]
mod tests {
    use anyhow::Context;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("cannot write the file: {source}")]
        Io { source: std::io::Error },
        #[error("API server: {0}")]
        Api(#[from] kube::Error),
        #[error(transparent)]
        Kube(kube::Error),
    }

    #[test]
    fn a_cause_is_said_once() {
        let source = std::io::Error::other("the disk is full");
        assert_eq!(told(&Outer::Io { source }.into()), "cannot write the file: the disk is full");
        let error = anyhow::anyhow!("the disk is full").context("cannot write the file").context("path cold");
        assert_eq!(told(&error), "path cold: cannot write the file: the disk is full");
        assert_eq!(told(&Failure::usage("--link must be positive").into()), "--link must be positive");
    }

    #[test]
    fn of_a_refusal_the_message_is_told() {
        let refused = || kube::Error::Api(Box::new(kube::core::Status::failure("namespaces \"x\" not found", "NotFound").with_code(404)));
        let message = "namespaces \"x\" not found";
        assert_eq!(told(&refused().into()), message);
        assert_eq!(told(&Outer::Api(refused()).into()), format!("API server: {message}"));
        assert_eq!(told(&Outer::Kube(refused()).into()), message);
        let error = Err::<(), _>(refused()).context("cannot list Pods").unwrap_err();
        assert_eq!(told(&error), format!("cannot list Pods: {message}"));
    }
}
