//! Paths and methods. PURE.
//!
//! Written by hand because the peer's framework differs from ours where clients can see it: HEAD is not GET, 405 names
//! the method of the first matching route in order of declaration, a trailing slash is a redirect, and the path is
//! decoded before it is split, so that `%2F` never is part of an ID.

use percent_encoding::percent_decode_str;

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Index,
    Health,
    Create,
    List,
    DeleteAll,
    CreateNamed(String),
    Get(String),
    Delete(String),
    Log(String),
    Watch,
    GpuDebug,
    Metrics,
    OpenApi,
    Docs,
}

impl Route {
    /// A name for counters.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Health => "health",
            Self::Create => "create_instance",
            Self::List => "get_all_instances",
            Self::DeleteAll => "delete_all_instances",
            Self::CreateNamed(_) => "create_named_instance",
            Self::Get(_) => "get_instance_status",
            Self::Delete(_) => "delete_instance",
            Self::Log(_) => "get_instance_logs",
            Self::Watch => "watch_instances",
            Self::GpuDebug => "gpu_debug",
            Self::Metrics => "metrics",
            Self::OpenApi => "openapi",
            Self::Docs => "docs",
        }
    }
}

/// What comes of method and path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Routed {
    To(Route),
    /// The path exists, with another method.
    NotAllowed(&'static str),
    /// The same path without its trailing slashes exists.
    Redirect(String),
    NotFound,
}

/// The routes of a decoded path, in order of declaration.
fn routes(path: &str) -> Vec<(&'static str, Route)> {
    let get = |route| vec![("GET", route)];
    let Some(rest) = path.strip_prefix("/v2/vllm/instances") else {
        return match path {
            "/" => get(Route::Index),
            "/health" => get(Route::Health),
            "/v2/gpu-debug" => get(Route::GpuDebug),
            "/metrics" => get(Route::Metrics),
            "/openapi.json" => get(Route::OpenApi),
            "/docs" | "/redoc" => get(Route::Docs),
            _ => Vec::new(),
        };
    };
    if rest.is_empty() {
        return vec![("POST", Route::Create), ("DELETE", Route::DeleteAll), ("GET", Route::List)];
    }
    let Some(rest) = rest.strip_prefix('/') else { return Vec::new() };
    match rest.split_once('/') {
        None if rest.is_empty() => Vec::new(),
        None => {
            let id = rest.to_owned();
            let read = if rest == "watch" { Route::Watch } else { Route::Get(id.clone()) };
            vec![("PUT", Route::CreateNamed(id.clone())), ("DELETE", Route::Delete(id)), ("GET", read)]
        }
        Some((id, "log")) if !id.is_empty() => get(Route::Log(id.to_owned())),
        Some(_) => Vec::new(),
    }
}

/// Finds the route of a request; `path` is as it came, percent-encoded.
pub(crate) fn route(method: &str, path: &str) -> Routed {
    // Once; malformed escapes stay as they are, bytes that are no UTF-8 are replaced.
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let found = routes(&decoded);
    let Some((first, _)) = found.first() else {
        let bare = decoded.trim_end_matches('/');
        let redirect = decoded.len() > bare.len() && !bare.is_empty() && !routes(bare).is_empty();
        return if redirect { Routed::Redirect(path.trim_end_matches('/').to_owned()) } else { Routed::NotFound };
    };
    let first = *first;
    found.into_iter().find(|(m, _)| *m == method).map_or(Routed::NotAllowed(first), |(_, route)| Routed::To(route))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_and_refusals() {
        let base = "/v2/vllm/instances";
        let cases = [
            ("GET", "/", Routed::To(Route::Index)),
            ("HEAD", "/health", Routed::NotAllowed("GET")),
            ("PATCH", base, Routed::NotAllowed("POST")),
            ("GET", "/v2/vllm/instances/a%20b", Routed::To(Route::Get("a b".into()))),
            ("GET", "/v2/vllm/instances/a%2Fb", Routed::NotFound),
            ("GET", "/v2/vllm/instances/a%252Fb", Routed::To(Route::Get("a%2Fb".into()))),
            ("GET", "/v2/vllm/instances/a/log", Routed::To(Route::Log("a".into()))),
            ("GET", "/v2/vllm/instances/watch", Routed::To(Route::Watch)),
            ("DELETE", "/v2/vllm/instances/watch", Routed::To(Route::Delete("watch".into()))),
            ("GET", "/v2/gpu-debug", Routed::To(Route::GpuDebug)),
            ("POST", "/v2/gpu-debug", Routed::NotAllowed("GET")),
            ("GET", "/health/", Routed::Redirect("/health".into())),
            ("GET", "/v2/vllm/instances/", Routed::Redirect(base.into())),
            ("GET", "/nope/", Routed::NotFound),
            ("GET", "/v2/vllm/instancesx", Routed::NotFound),
            ("GET", "//", Routed::NotFound),
        ];
        for (method, path, expected) in cases {
            assert_eq!(route(method, path), expected, "{method} {path}");
        }
    }
}
