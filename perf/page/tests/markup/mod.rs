//! Whether a page is well-formed, reaches for nothing and can be read aloud. Pages are written so that they are XML too, but for
//! the document type.

/// What a page is made of; everything else is a mistake, or somebody else's.
const ELEMENTS: &str = "html head meta title style body header main section article nav footer h1 h2 h3 p a ul li dl dt dd div span strong small \
    figure figcaption details summary table caption thead tbody tr th td svg g defs clipPath rect circle line path polyline polygon text";

/// Everything that is wrong.
pub(crate) fn check(html: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut open, mut ids, mut used): (Vec<&str>, Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new(), Vec::new());
    let Some(mut rest) = html.trim_start().strip_prefix("<!DOCTYPE html>") else { return vec!["no document type".to_owned()] };
    while let Some(at) = rest.find('<') {
        let (text, tag) = rest.split_at(at);
        entities(text, &mut wrong);
        if let Some(after) = tag.strip_prefix("<!--").and_then(|t| t.split_once("-->")) {
            rest = after.1;
            continue;
        }
        let Some(end) = tag.find('>') else {
            wrong.push(format!("a tag has no end: {tag:.60}"));
            break;
        };
        let inside = &tag[1..end];
        rest = &tag[end + 1..];
        if let Some(name) = inside.strip_prefix('/') {
            if open.pop() != Some(name) {
                wrong.push(format!("</{name}> closes nothing, in {open:?}"));
                break;
            }
            continue;
        }
        let (inside, empty) = inside.strip_suffix('/').map_or((inside, false), |i| (i, true));
        let (name, attributes) = inside.split_once(char::is_whitespace).unwrap_or((inside, ""));
        if !ELEMENTS.split_whitespace().any(|e| e == name) {
            wrong.push(format!("<{name}> has no place on a page"));
        }
        let attributes = pairs(attributes, name, &mut wrong);
        for (key, value) in &attributes {
            entities(value, &mut wrong);
            match *key {
                "id" => ids.push(value),
                "href" | "aria-labelledby" => used.push(value.trim_start_matches('#')),
                key if key.starts_with("on") || matches!(key, "src" | "srcset" | "style" | "xlink:href" | "action") => {
                    wrong.push(format!("<{name}> has {key}"));
                }
                _ => {}
            }
            if key == &"href" && !value.starts_with('#') || value.contains("url(") && !value.contains("url(#") {
                wrong.push(format!("<{name}> reaches for {value}"));
            }
        }
        let has = |wanted: &str| attributes.iter().any(|(key, value)| *key == wanted && !value.is_empty());
        let needed: &[&str] = match name {
            "svg" => &["viewBox", "aria-hidden"],
            "th" => &["scope"],
            "section" => &["aria-labelledby"],
            "div" if attributes.contains(&("role", "img")) => &["aria-label"],
            _ => &[],
        };
        wrong.extend(needed.iter().filter(|n| !has(n)).map(|n| format!("<{name}> has no {n}")));
        if !empty {
            open.push(name);
        }
    }
    if !open.is_empty() {
        wrong.push(format!("not closed: {open:?}"));
    }
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    wrong.extend(sorted.windows(2).filter(|w| w[0] == w[1]).map(|w| format!("two things are called {}", w[0])));
    wrong.extend(used.iter().filter(|u| !ids.contains(u)).map(|u| format!("nothing is called {u}")));
    wrong.extend(
        ["@import", "http:", "https:", "NaN"]
            .iter()
            .filter(|w| html.contains(*w) && !is_text(html, w))
            .map(|w| format!("{w} is on the page")),
    );
    wrong
}

/// Addresses of endpoints are text, in which slashes are escaped.
fn is_text(html: &str, word: &str) -> bool {
    html.match_indices(word).all(|(at, _)| !html[at + word.len()..].starts_with("//")) && word.starts_with("http")
}

fn pairs<'a>(mut rest: &'a str, element: &str, wrong: &mut Vec<String>) -> Vec<(&'a str, &'a str)> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return found;
        }
        let Some((key, value)) = rest.split_once("=\"").and_then(|(key, after)| Some((key, after.split_once('"')?))) else {
            wrong.push(format!("<{element}> has something that is no attribute: {rest}"));
            return found;
        };
        if key.chars().any(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | ':'))) || found.iter().any(|(k, _)| *k == key) {
            wrong.push(format!("<{element}> has an attribute that is wrong or there twice: {key}"));
        }
        found.push((key, value.0));
        rest = value.1;
    }
}

fn entities(text: &str, wrong: &mut Vec<String>) {
    for (at, _) in text.match_indices('&') {
        let name = text[at + 1..].split(';').next().unwrap_or_default();
        let known = matches!(name, "amp" | "lt" | "gt" | "quot" | "apos") || name.starts_with('#');
        if !known || name.len() > 6 {
            wrong.push(format!("no entity: {:.20}", &text[at..]));
        }
    }
}

#[test]
fn mistakes_are_found() {
    let page = |body: &str| format!("<!DOCTYPE html>\n<html><body>{body}</body></html>");
    assert_eq!(check(&page("<p id=\"a\">x &amp; <a href=\"#a\">y</a></p>")), Vec::<String>::new());
    for bad in [
        "<p>",
        "</p>",
        "<script></script>",
        "<p onclick=\"x\"></p>",
        "<a href=\"http://x\"></a>",
        "<p id=\"a\"></p><p id=\"a\"></p>",
        "<p>a & b</p>",
        "<p class=x></p>",
        "<rect fill=\"url(x)\"/>",
        "<a href=\"#nothing\"></a>",
        "<th></th>",
    ] {
        assert_ne!(check(&page(bad)), Vec::<String>::new(), "{bad}");
    }
}
