//! Which form of discovery a client wants.

use http::HeaderMap;
use http::header::ACCEPT;

/// A form of `/api` and `/apis`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One document per group and version.
    Plain,
    /// Everything in one document, in this version of its format.
    Aggregated(&'static str),
}

impl Form {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Plain => "application/json",
            Self::Aggregated("v2beta1") => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
            Self::Aggregated(_) => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        }
    }
}

/// The first form in the client's list that exists here; the plain one when there is none.
pub(super) fn negotiate(headers: &HeaderMap) -> Form {
    let lists = headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok());
    lists.flat_map(|list| list.split(',')).find_map(form).unwrap_or(Form::Plain)
}

fn form(range: &str) -> Option<Form> {
    let mut parts = range.split(';').map(str::trim);
    let media = parts.next()?;
    if !matches!(media, "application/json" | "application/*" | "*/*") {
        return None;
    }
    let (mut group, mut version, mut shape) = ("", "", "");
    for (key, value) in parts.filter_map(|p| p.split_once('=')) {
        match key {
            "g" => group = value,
            "v" => version = value,
            "as" => shape = value,
            _ => {}
        }
    }
    match (group, version, shape) {
        ("", "", "") => Some(Form::Plain),
        ("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList") => Some(Form::Aggregated("v2")),
        ("apidiscovery.k8s.io", "v2beta1", "APIGroupDiscoveryList") => Some(Form::Aggregated("v2beta1")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_exists_wins() {
        let ask = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            negotiate(&headers)
        };
        let kubectl = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        assert_eq!(ask(kubectl), Form::Aggregated("v2"));
        assert_eq!(ask("application/json;g=apidiscovery.k8s.io;v=v3;as=APIGroupDiscoveryList,application/json"), Form::Plain);
        assert_eq!(ask("application/json; as=APIGroupDiscoveryList; v=v2beta1; g=apidiscovery.k8s.io"), Form::Aggregated("v2beta1"));
        assert_eq!(ask("application/vnd.kubernetes.protobuf"), Form::Plain);
        assert_eq!(negotiate(&HeaderMap::new()), Form::Plain);
    }
}
