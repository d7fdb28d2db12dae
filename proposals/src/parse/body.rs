//! What stands below the head: headings, links, paragraphs, comments, code. The tree of Markdown is forgotten once it is read.

use comrak::nodes::{LineColumn, NodeValue, Sourcepos};
use comrak::{Anchorizer, Arena, Node, Options, parse_document};

use super::definitions::{self, Definition};
use crate::text::{Lines, Span};

/// A heading: top-level ones alone, none of lists and quotations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    /// One to six.
    pub level: u8,
    /// Its lines.
    pub span: Span,
    /// Its text, without emphasis and escapes, with inline HTML as it stands.
    pub text: String,
}

/// A link or an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Where.
    pub span: Span,
    /// Where it leads, escapes undone.
    pub url: String,
    /// What it shows; the alternative text of an image.
    pub text: String,
    /// An image, or one in HTML.
    pub image: bool,
    /// It is an address as it stands, not `[text](address)`.
    pub bare: bool,
    /// Its address stands in a definition.
    pub definition: Option<usize>,
}

/// What a top-level block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Text.
    Paragraph,
    /// A heading; which one.
    Heading(usize),
    /// A list.
    List,
    /// A table.
    Table,
    /// HTML.
    Html,
    /// All else.
    Other,
}

/// The body of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// Headings, in order.
    pub headings: Vec<Heading>,
    /// Names under which a link finds a heading, of all headings wherever they stand.
    pub anchors: Vec<String>,
    /// Links and images, in order.
    pub links: Vec<Link>,
    /// Definitions of addresses.
    pub definitions: Vec<Definition>,
    /// Top-level blocks.
    pub blocks: Vec<(Block, Span)>,
    /// Paragraphs of list items.
    pub items: Vec<Span>,
    /// Comments of HTML.
    pub comments: Vec<Span>,
    /// Code, in blocks and in lines.
    pub code: Vec<Span>,
}

/// What is read as Markdown here: what forges read.
fn options() -> Options<'static> {
    let mut options = Options::default();
    options.extension.table = true;
    options.extension.autolink = true;
    options.extension.strikethrough = true;
    options.extension.tasklist = true;
    options.extension.footnotes = true;
    options.extension.alerts = true;
    options.extension.front_matter_delimiter = Some("---".to_owned());
    options
}

impl Body {
    /// Reads a text.
    #[must_use]
    pub fn read(source: &str, lines: &Lines) -> Self {
        let odd = |at: usize, byte: u8| byte == 0 || (byte == b'\r' && source.as_bytes().get(at + 1) != Some(&b'\n'));
        if !source.bytes().enumerate().any(|(at, byte)| odd(at, byte)) {
            return Self::of(source, lines);
        }
        // The parser makes three bytes of a nought, and ends lines at a CR alone: places would be others than here.
        let plain: String = source
            .char_indices()
            .map(|(at, c)| match c {
                '\0' => '\u{1}',
                '\r' if odd(at, b'\r') => '\n',
                other => other,
            })
            .collect();
        Self::of(&plain, &Lines::of(&plain))
    }

    fn of(source: &str, lines: &Lines) -> Self {
        let arena = Arena::new();
        let root = parse_document(&arena, source, &options());
        let mut body = Self::default();
        let place = Place { source, lines };
        let mut anchorizer = Anchorizer::new();
        for node in root.descendants() {
            let ast = node.data();
            let span = place.span(ast.sourcepos);
            match &ast.value {
                NodeValue::Heading(heading) => {
                    body.anchors.push(anchorizer.anchorize(&text(node, false)));
                    if is_child(node, root) {
                        let heading = Heading { level: heading.level, span, text: text(node, true) };
                        body.blocks.push((Block::Heading(body.headings.len()), span));
                        body.headings.push(heading);
                        continue;
                    }
                }
                NodeValue::Link(link) => {
                    let label = text(node, true);
                    body.links.push(Link { span, url: link.url.clone(), text: label, image: false, bare: false, definition: None });
                }
                NodeValue::Image(link) => {
                    let label = text(node, true);
                    body.links.push(Link { span, url: link.url.clone(), text: label, image: true, bare: false, definition: None });
                }
                NodeValue::HtmlInline(html) => body.html(html, span.start, source),
                NodeValue::HtmlBlock(_) => body.html(span.of(source), span.start, source),
                NodeValue::CodeBlock(_) | NodeValue::Code(_) => body.code.push(span),
                NodeValue::Paragraph if is_in_item(node) => body.items.push(span),
                _ => {}
            }
            if is_child(node, root) {
                let kind = match &ast.value {
                    NodeValue::Paragraph => Block::Paragraph,
                    NodeValue::List(_) => Block::List,
                    NodeValue::Table(_) => Block::Table,
                    NodeValue::HtmlBlock(_) => Block::Html,
                    _ => Block::Other,
                };
                body.blocks.push((kind, span));
            }
        }
        body.comments.sort_unstable();
        body.comments.dedup();
        body.code.sort_unstable();
        body.links.sort_by_key(|link| link.span);
        body.definitions = definitions::scan(source, |at| body.is_code(at) || covers(&body.comments, at));
        let labels = definitions::index(&body.definitions);
        for link in &mut body.links {
            let written = link.span.of(source);
            link.bare = !written.starts_with(['[', '!', '<']) || (written.starts_with('<') && !link.image);
            if !link.bare && written.ends_with(']') {
                link.definition = definitions::used(written, &labels);
            }
        }
        body
    }

    /// Whether a byte is code.
    #[must_use]
    pub fn is_code(&self, at: usize) -> bool {
        covers(&self.code, at)
    }

    /// Comments and images of HTML that is at `at` of the text.
    fn html(&mut self, html: &str, at: usize, source: &str) {
        let mut from = 0;
        while let Some(begin) = html.get(from..).and_then(|rest| rest.find('<')).map(|begin| from + begin) {
            let rest = &html[begin..];
            if rest.starts_with("<!--") {
                let length = rest.get(4..).and_then(|inner| inner.find("-->")).map_or(rest.len(), |end| end + 7);
                self.comments.push(Span::new(at + begin, (at + begin + length).min(source.len())));
                from = begin + length;
                continue;
            }
            let end = rest.find('>').map_or(rest.len(), |end| end + 1);
            let tag = &rest[..end];
            if tag.get(..4).is_some_and(|begin| begin.eq_ignore_ascii_case("<img")) {
                let attribute = |name: &str| attribute(tag, name).map(|value| value.of(tag).to_owned());
                self.links.push(Link {
                    span: Span::new(at + begin, at + begin + end),
                    url: attribute("src").unwrap_or_default(),
                    text: attribute("alt").unwrap_or_default(),
                    image: true,
                    bare: false,
                    definition: None,
                });
            }
            from = begin + end;
        }
    }
}

/// Where the value of an attribute stands in a tag.
pub(crate) fn attribute(tag: &str, name: &str) -> Option<Span> {
    let lower = tag.to_ascii_lowercase();
    let mut from = 0;
    loop {
        let at = from + lower.get(from..)?.find(name)?;
        from = at + name.len();
        let alone = lower[..at].ends_with(|c: char| c.is_ascii_whitespace());
        let Some(value) = tag[from..].trim_start().strip_prefix('=').filter(|_| alone).map(str::trim_start) else { continue };
        let start = tag.len() - value.len();
        if let Some(quote) = ['"', '\''].into_iter().find(|quote| value.starts_with(*quote)) {
            let length = value[1..].find(quote).unwrap_or(value.len() - 1);
            return Some(Span::new(start + 1, start + 1 + length));
        }
        // Without quotes a slash belongs to the value, but for the last one of the tag.
        let bare = value.split(|c: char| c.is_ascii_whitespace() || c == '>').next().unwrap_or_default();
        let bare = bare.strip_suffix('/').filter(|bare| value[bare.len()..].starts_with("/>")).unwrap_or(bare);
        return Some(Span::new(start, start + bare.len()));
    }
}

/// Whether a byte lies in one of some stretches, which stand in order; none lies in another.
fn covers(spans: &[Span], at: usize) -> bool {
    let behind = spans.partition_point(|span| span.start <= at);
    behind.checked_sub(1).and_then(|last| spans.get(last)).is_some_and(|span| at < span.end)
}

fn is_child<'a>(node: Node<'a>, root: Node<'a>) -> bool {
    node.parent().is_some_and(|parent| std::ptr::eq(parent, root))
}

fn is_in_item(node: Node<'_>) -> bool {
    node.parent().is_some_and(|parent| matches!(parent.data().value, NodeValue::Item(_) | NodeValue::TaskItem(_)))
}

/// The text of a node, with inline HTML or without.
fn text(node: Node<'_>, html: bool) -> String {
    let mut out = String::new();
    for inner in node.descendants() {
        match &inner.data().value {
            NodeValue::Text(text) => out.push_str(text),
            NodeValue::Code(code) => out.push_str(&code.literal),
            NodeValue::HtmlInline(text) if html => out.push_str(text),
            NodeValue::SoftBreak | NodeValue::LineBreak => out.push(' '),
            _ => {}
        }
    }
    out.trim().to_owned()
}

struct Place<'a> {
    source: &'a str,
    lines: &'a Lines,
}

impl Place<'_> {
    fn span(&self, at: Sourcepos) -> Span {
        let byte = |place: LineColumn| self.lines.byte(place.line, place.column, self.source);
        let start = byte(at.start);
        let last = byte(at.end);
        // The last byte is told, and may be the first of a character.
        let end = (last + 1..=self.source.len()).find(|end| self.source.is_char_boundary(*end)).unwrap_or(self.source.len());
        let end = if at.end.column == 0 { last } else { end };
        let start = (0..=start).rev().find(|start| self.source.is_char_boundary(*start)).unwrap_or(0);
        Span::new(start, end.max(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Body {
        Body::read(text, &Lines::of(text))
    }

    #[test]
    fn headings_are_those_of_the_top() {
        let body = read("# A *b* `c` \\<d\\>\n\n> # no\n\n- # no\n\n## `Vec<Reply>` <br> é\n\nText\n---\n\n# A b c d\n");
        let texts: Vec<(u8, &str)> = body.headings.iter().map(|heading| (heading.level, heading.text.as_str())).collect();
        assert_eq!(texts, [(1, "A b c <d>"), (2, "Vec<Reply> <br> é"), (2, "Text"), (1, "A b c d")]);
        assert_eq!(body.anchors, ["a-b-c-d", "no", "no-1", "vecreply--é", "text", "a-b-c-d-1"]);
        assert_eq!(
            body.headings[1].span.of("# A *b* `c` \\<d\\>\n\n> # no\n\n- # no\n\n## `Vec<Reply>` <br> é\n\nText\n---\n\n# A b c d\n"),
            "## `Vec<Reply>` <br> é"
        );
    }

    #[test]
    fn links_have_their_places() {
        let text = "é [a](b.md#c) ![i](<!-- y -->) https://x.org/y <https://z.org>\n\n[a][B c] and [d]\n\n[b  C]: one.md\n[d]: [two.md]\n\n<img alt=\"x\" src='p.png'> `[no](no)`\n";
        let body = read(text);
        let all: Vec<(&str, &str, bool, bool, Option<usize>)> =
            body.links.iter().map(|l| (l.span.of(text), l.url.as_str(), l.image, l.bare, l.definition)).collect();
        assert_eq!(
            all,
            [
                ("[a](b.md#c)", "b.md#c", false, false, None),
                ("![i](<!-- y -->)", "!-- y --", true, false, None),
                ("https://x.org/y", "https://x.org/y", false, true, None),
                ("<https://z.org>", "https://z.org", false, true, None),
                ("[a][B c]", "one.md", false, false, Some(0)),
                ("[d]", "[two.md]", false, false, Some(1)),
                ("<img alt=\"x\" src='p.png'>", "p.png", true, false, None),
            ]
        );
        assert_eq!(body.definitions[1].url.of(text), "[two.md]");
        assert!(body.is_code(text.find("[no]").unwrap()) && !body.is_code(2));
    }

    #[test]
    fn attributes_are_read() {
        let read = |tag: &str| attribute(tag, "src").map(|value| value.of(tag).to_owned());
        for (tag, wanted) in [
            ("<img src=a/b.png>", Some("a/b.png")),
            ("<img src=a/b.png/>", Some("a/b.png")),
            ("<img data-src='x' SRC = 'a b'>", Some("a b")),
            ("<img src=\"a", Some("a")),
            ("<img src>", None),
        ] {
            assert_eq!(read(tag).as_deref(), wanted, "{tag}");
        }
    }

    #[test]
    fn comments_are_found() {
        let text = "<!-- a -->\n\ntext <!-- b\nb --> text\n\n```\n<!-- no -->\n```\n";
        let body = read(text);
        assert_eq!(body.comments.iter().map(|c| c.of(text)).collect::<Vec<_>>(), ["<!-- a -->", "<!-- b\nb -->"]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "([#|*>:é\n\r\0 `<()-]|\\[|\\]|!|a|---\n|<!--|-->|<img |src=|\t|\r\n|\\|-){0,60}") {
            let body = read(&text);
            for span in body.links.iter().map(|l| l.span).chain(body.headings.iter().map(|h| h.span)).chain(body.comments).chain(body.blocks.iter().map(|b| b.1)) {
                assert!(text.get(span.range()).is_some(), "{span:?}");
            }
        }
    }
}
