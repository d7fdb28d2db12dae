//! A page as HTML, by a template in which every text is escaped; only drawings of ours and the style sheet are not.

use minijinja::Environment;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;

use crate::model::Page;

/// Why a page cannot be written as HTML: the template is wrong.
#[derive(Debug, thiserror::Error)]
#[error("the page's template is wrong: {0}")]
pub struct Error(#[from] minijinja::Error);

impl Page {
    /// The page as one document that needs nothing else.
    ///
    /// # Errors
    /// When the template is wrong.
    pub fn html(&self) -> Result<String, Error> {
        let mut templates = Environment::new();
        // Lines of the template that only decide leave no line.
        templates.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        templates.add_template("page.css", include_str!("page.css"))?;
        // What ends in .html is escaped.
        templates.add_template("page.html", include_str!("page.html"))?;
        Ok(templates.get_template("page.html")?.render(Serde(self))?)
    }
}
