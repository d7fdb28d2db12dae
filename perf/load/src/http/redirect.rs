//! What an answer that points elsewhere asks for.
//!
//! A POST is never turned into a GET, says perf contract 0.2 item 24. Where the server wants the same request elsewhere it is sent
//! there with method and body, where it wants another one that is an error which says where to.

use super::Head;

/// An answer that points elsewhere. The address is as the server wrote it, relative to that of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirect<'a> {
    /// The same request, method and body, is to be sent there (307, 308).
    Follow(&'a str),
    /// It would be another request (301, 302, 303).
    Refuse(&'a str),
}

/// Where an answer points, if it does and says where.
#[must_use]
pub fn redirect(head: &Head) -> Option<Redirect<'_>> {
    let to = head.get("location").map(str::trim).filter(|to| !to.is_empty())?;
    match head.status() {
        307 | 308 => Some(Redirect::Follow(to)),
        301..=303 => Some(Redirect::Refuse(to)),
        _ => None,
    }
}
