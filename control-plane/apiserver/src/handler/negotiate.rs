//! Which form of answer a client accepts.

use crate::ApiError;
use crate::table::IncludeObject;

use super::params::Params;

/// What an answer shows of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The object itself.
    Object,
    /// Its metadata, as PartialObjectMetadata of this version.
    Metadata(&'static str),
    /// A printed table of this version.
    Table(&'static str),
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Yaml,
}

/// A negotiated answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accept {
    pub(crate) form: Form,
    pub(crate) encoding: Encoding,
    pub(crate) include: IncludeObject,
}

impl Accept {
    /// The first of the client's wishes that can be fulfilled.
    ///
    /// `single` is true where one object (or watch event) is answered, false for lists.
    pub(crate) fn negotiate(header: Option<&str>, params: &Params, single: bool) -> Result<Self, ApiError> {
        let include = IncludeObject::parse(params.has("includeObject").then(|| params.get("includeObject")))
            .ok_or_else(|| ApiError::bad_request("includeObject: must be one of None, Metadata, Object"))?;
        let header = header.filter(|h| !h.trim().is_empty()).unwrap_or("*/*");
        for wish in header.split(',') {
            if let Some((form, encoding)) = understand(wish, single) {
                return Ok(Self { form, encoding, include });
            }
        }
        Err(ApiError::not_acceptable(&["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]))
    }
}

fn understand(wish: &str, single: bool) -> Option<(Form, Encoding)> {
    let mut parts = wish.split(';').map(str::trim);
    let encoding = match parts.next()? {
        "application/json" | "application/*" | "*/*" => Encoding::Json,
        "application/yaml" => Encoding::Yaml,
        _ => return None,
    };
    let (mut what, mut version, mut group) = ("", "", "");
    for part in parts {
        match part.split_once('=') {
            Some(("as", v)) => what = v,
            Some(("v", v)) => version = v,
            Some(("g", v)) => group = v,
            _ => {}
        }
    }
    if what.is_empty() {
        return Some((Form::Object, encoding));
    }
    let version = match (group, version) {
        ("meta.k8s.io", "v1") => "v1",
        ("meta.k8s.io", "v1beta1") => "v1beta1",
        _ => return None,
    };
    match what {
        "Table" => Some((Form::Table(version), encoding)),
        "PartialObjectMetadata" if single => Some((Form::Metadata(version), encoding)),
        "PartialObjectMetadataList" if !single => Some((Form::Metadata(version), encoding)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(header: &str, single: bool) -> Option<Form> {
        Accept::negotiate(Some(header), &Params::default(), single).ok().map(|a| a.form)
    }

    #[test]
    fn the_first_possible_wish_wins() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(ask(kubectl, true), Some(Form::Table("v1")));
        assert_eq!(ask("application/vnd.kubernetes.protobuf, application/json", true), Some(Form::Object));
        assert_eq!(ask("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", true), Some(Form::Metadata("v1")));
        assert_eq!(ask("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", false), Some(Form::Metadata("v1")));
        assert_eq!(ask("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", false), Some(Form::Object));
        assert_eq!(ask("", false), Some(Form::Object));
        assert_eq!(ask("text/html", false), None);
    }
}
