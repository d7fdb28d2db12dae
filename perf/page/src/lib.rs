//! `perf report`: runs of a benchmark, ours or the peer's, as one HTML page that stands by itself: no script, no network, nothing
//! beside it. It is for somebody who has to defend a figure: whether it may be believed comes first.
//!
//! * `verb`: the files; everything else is pure;
//! * [`subject`]: a run, and what is computed of it once; [`told`]: what it says of itself;
//! * `spread`, `timeline`: a hundred million values as a few hundred points;
//! * `figures`, `shapes`, `flow`, `failures`, `search`: the parts of a page;
//! * [`model`]: what is on a page; [`page`]: puts it together;
//! * `chart`: a drawing as SVG; `html`: the page as text.

mod chart;
mod failures;
mod figures;
mod flow;
mod html;
pub mod model;
mod page;
mod search;
mod shapes;
mod spread;
mod subject;
mod timeline;
mod told;
mod verb;
mod words;

pub use html::Error;
pub use model::Page;
pub use subject::Input;
pub use verb::{ReportArgs, read, run};
