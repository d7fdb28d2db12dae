//! Small things said to people.

use dormouse_perf_report::records::Problem;

/// A failure in a line.
#[must_use]
pub fn problem(problem: &Problem) -> String {
    let code = problem.code.map(|code| format!("{code} ")).unwrap_or_default();
    let class = problem.class.as_deref().unwrap_or("error");
    let mut message: String = problem.message.chars().take(200).collect();
    message = message.replace('\n', " ");
    if message.is_empty() { format!("{code}{class}") } else { format!("{code}{class}: {message}") }
}
