//! Decodes the table of built-in kinds from the two files in the binary.
//!
//! The texts are leaked once, so that every name in the table is a slice of them: the table lives as long as
//! the process and a copy of each name would cost more.

use std::fmt;
use std::io::Read as _;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use super::{Builtin, Field, Kind, ListType, PatchRule, Shape, Type, TypeDef, TypeRef, openapi_name};

const BUILTIN: &[u8] = include_bytes!("../../data/builtin.json.gz");
const EXTRA: &str = include_str!("../../data/extra.json");
/// About the length of the text.
const TEXT: usize = 250_000;
/// More than the text has by far; a broken file must not eat the memory.
const MAX_TEXT: u64 = 4 << 20;

/// Why the data could not be decoded. Only a broken build can show it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the compressed table cannot be read: {0}")]
    Gzip(#[from] std::io::Error),
    #[error("the table is malformed: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the table names {0}, which it does not describe")]
    Unknown(String),
    #[error("the table has too many types")]
    TooMany,
}

/// One file.
#[derive(serde::Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    protobuf: Pairs<'a, Pairs<'a, (u16, &'a str, &'a str)>>,
    #[serde(borrow)]
    protobuf_roots: Pairs<'a, &'a str>,
    #[serde(borrow)]
    strategic_merge: Pairs<'a, Pairs<'a, Tag<'a>>>,
    #[serde(borrow)]
    types: Pairs<'a, Named<TypeOverlay<'a>>>,
    #[serde(borrow, default)]
    pointers: Pairs<'a, Vec<&'a str>>,
    #[serde(borrow, default)]
    omitzero: Pairs<'a, Vec<&'a str>>,
    #[serde(borrow, default)]
    optional: Pairs<'a, Vec<&'a str>>,
    #[serde(borrow, default)]
    required: Pairs<'a, Vec<&'a str>>,
    #[serde(borrow, default)]
    names: Pairs<'a, Pairs<'a, &'a str>>,
}

/// The tags of strategic merge patch.
#[derive(Clone, Copy, Default, serde::Deserialize)]
struct Tag<'a> {
    #[serde(borrow, default)]
    key: Option<&'a str>,
    #[serde(borrow, default)]
    strategy: &'a str,
}

/// What server-side apply says of a type.
#[derive(Default, serde::Deserialize)]
struct TypeOverlay<'a> {
    #[serde(borrow, default)]
    map: Option<MapOverlay<'a>>,
}

#[derive(Default, serde::Deserialize)]
struct MapOverlay<'a> {
    #[serde(borrow, default)]
    fields: Pairs<'a, Named<FieldOverlay<'a>>>,
    #[serde(borrow, default)]
    relationship: Option<&'a str>,
}

/// What server-side apply says of a member.
#[derive(Default, serde::Deserialize)]
struct FieldOverlay<'a> {
    #[serde(borrow, default)]
    list: Option<ContainerOverlay<'a>>,
    #[serde(borrow, default)]
    map: Option<ContainerOverlay<'a>>,
    #[serde(borrow, default)]
    relationship: Option<&'a str>,
    #[serde(borrow, default)]
    default: Option<&'a str>,
}

#[derive(serde::Deserialize)]
struct ContainerOverlay<'a> {
    #[serde(borrow, default)]
    relationship: Option<&'a str>,
    #[serde(borrow, default)]
    keys: Vec<&'a str>,
}

/// The members of a JSON object, sorted by name.
struct Pairs<'a, V>(Vec<(&'a str, V)>);

impl<V> Default for Pairs<'_, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> Pairs<'_, V> {
    fn get(&self, name: &str) -> Option<&V> {
        self.0.binary_search_by(|(key, _)| (*key).cmp(name)).ok().map(|at| &self.0[at].1)
    }

    fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
        self.0.sort_unstable_by_key(|(key, _)| *key);
    }
}

impl Pairs<'_, Vec<&str>> {
    fn has(&self, name: &str, member: &str) -> bool {
        self.get(name).is_some_and(|members| members.contains(&member))
    }
}

impl<'de: 'a, 'a, V: Deserialize<'de>> Deserialize<'de> for Pairs<'a, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Members<V> {
            type Value = Vec<(&'de str, V)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                members.sort_unstable_by_key(|(key, _)| *key);
                Ok(members)
            }
        }
        Ok(Pairs(deserializer.deserialize_map(Members(PhantomData))?))
    }
}

/// A description, or a mere name, which says nothing that the Go types do not say. Most are names, hence the box.
struct Named<T>(Option<Box<T>>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name or an object")
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<Named<T>, E> {
                Ok(Named(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Named<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|described| Named(Some(Box::new(described))))
            }
        }
        deserializer.deserialize_any(Either(PhantomData))
    }
}

impl File<'_> {
    fn merge(&mut self, more: Self) {
        self.protobuf.extend(more.protobuf);
        self.protobuf_roots.extend(more.protobuf_roots);
        self.strategic_merge.extend(more.strategic_merge);
        self.types.extend(more.types);
        self.pointers.extend(more.pointers);
        self.omitzero.extend(more.omitzero);
        self.optional.extend(more.optional);
        self.required.extend(more.required);
        self.names.extend(more.names);
    }
}

/// Decodes both files into the table.
pub(super) fn table() -> Result<Builtin, Error> {
    let mut text = String::with_capacity(TEXT);
    flate2::read::GzDecoder::new(BUILTIN).take(MAX_TEXT).read_to_string(&mut text)?;
    let mut file: File<'static> = serde_json::from_str(Box::leak(text.into_boxed_str()))?;
    file.merge(serde_json::from_str(EXTRA)?);

    let names: Vec<&'static str> = file.protobuf.0.iter().map(|(name, _)| *name).collect();
    if u16::try_from(names.len()).is_err() {
        return Err(Error::TooMany);
    }
    let own = file.protobuf.0.iter().map(|(name, rows)| own_members(name, rows, &names, &file)).collect::<Result<Vec<_>, _>>()?;
    let types = own.iter().zip(&names).map(|(members, name)| type_def(name, members, &own, &file)).collect();
    let mut kinds = file.protobuf_roots.0.iter().map(|(key, name)| kind(key, name, &names)).collect::<Result<Vec<_>, _>>()?;
    kinds.sort_unstable();
    Ok(Builtin { types, kinds })
}

/// The members that a Go struct declares itself.
struct Own {
    fields: Vec<Field>,
    /// Embedded structs: name, number, type.
    embedded: Vec<(&'static str, u16, TypeRef)>,
}

fn own_members(
    name: &str,
    rows: &Pairs<'static, (u16, &'static str, &'static str)>,
    names: &[&'static str],
    file: &File<'static>,
) -> Result<Own, Error> {
    let mut own = Own { fields: Vec::new(), embedded: Vec::new() };
    // Types with a form of their own in JSON have no members there.
    if special(name).is_some() {
        return Ok(own);
    }
    let tags = file.strategic_merge.get(name);
    let go_types = file.names.get(name);
    for &(member, (number, ty, omit)) in &rows.0 {
        if let Some(embedded) = member.strip_prefix("inline:") {
            own.embedded.push((embedded, number, position(ty, names)?));
        } else if member != "-" {
            let pointer = file.pointers.has(name, member);
            let omit_empty = omit == "omitempty";
            own.fields.push(Field {
                name: member,
                shape: shape(ty, names)?,
                go_type: go_types.and_then(|types| types.get(member)).copied(),
                number,
                via: "",
                omit_empty,
                omit_zero: file.omitzero.has(name, member),
                pointer,
                required: file.required.has(name, member) || (!omit_empty && !file.optional.has(name, member)),
                list: ListType::Atomic,
                keys: &[],
                atomic: false,
                default: None,
                patch: tags.and_then(|tags| tags.get(member)).map(patch_rule).unwrap_or_default(),
            });
        }
    }
    Ok(own)
}

/// A row of the table: own and embedded members together, with what server-side apply says of them.
fn type_def(name: &'static str, own: &Own, all: &[Own], file: &File<'static>) -> TypeDef {
    let mut fields = own.fields.clone();
    for &(embedded, _, ty) in &own.embedded {
        flatten(embedded, ty, all, &mut fields);
    }
    fields.sort_unstable_by_key(|field| field.name);
    let overlay = overlay_of(name, file);
    for field in &mut fields {
        // A struct is taken as a whole when its type says so and the member does not say otherwise.
        if let Shape::One(Type::Struct(ty)) = field.shape {
            let name = file.protobuf.0.get(usize::from(ty.0)).map_or("", |(name, _)| name);
            field.atomic = is_atomic(overlay_of(name, file));
        }
        if let Some(Named(Some(row))) = overlay.and_then(|map| map.fields.get(field.name)) {
            annotate(field, row);
        }
    }
    // TypeMeta has no number: in protobuf it stands in the envelope.
    let embedded = own.embedded.iter().filter(|(_, number, _)| *number > 0).map(|&(_, number, ty)| (number, ty)).collect();
    TypeDef { name, fields: fields.into_boxed_slice(), embedded, atomic: is_atomic(overlay) }
}

/// What server-side apply says of a type.
fn overlay_of<'f>(name: &str, file: &'f File<'static>) -> Option<&'f MapOverlay<'static>> {
    file.types.get(&openapi_name(name))?.0.as_ref()?.map.as_ref()
}

fn is_atomic(overlay: Option<&MapOverlay<'_>>) -> bool {
    overlay.is_some_and(|map| map.relationship == Some("atomic"))
}

fn flatten(via: &'static str, ty: TypeRef, all: &[Own], into: &mut Vec<Field>) {
    let Some(own) = all.get(usize::from(ty.0)) else { return };
    into.extend(own.fields.iter().map(|field| Field { via, ..*field }));
    for &(embedded, _, ty) in &own.embedded {
        // Two levels occur once in the table; leaked as all its texts are.
        flatten(Box::leak(format!("{via}.{embedded}").into_boxed_str()), ty, all, into);
    }
}

fn annotate(field: &mut Field, row: &FieldOverlay<'static>) {
    if let Some(list) = &row.list {
        field.list = match list.relationship {
            Some("associative") if list.keys.is_empty() => ListType::Set,
            Some("associative") => ListType::Map,
            _ => ListType::Atomic,
        };
        if !list.keys.is_empty() {
            field.keys = list.keys.clone().leak();
        }
    }
    if let Some(map) = &row.map {
        field.atomic = map.relationship == Some("atomic");
    }
    if let Some(relationship) = row.relationship {
        field.atomic = relationship == "atomic";
    }
    field.default = row.default;
}

fn patch_rule(tag: &Tag<'static>) -> PatchRule {
    let has = |strategy| tag.strategy.split(',').any(|one| one == strategy);
    PatchRule { merge: has("merge"), replace: has("replace"), retain_keys: has("retainKeys"), key: tag.key }
}

fn kind(key: &'static str, name: &str, names: &[&'static str]) -> Result<Kind, Error> {
    let mut parts = key.splitn(3, '/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(group), Some(version), Some(kind)) => Ok(Kind { group, version, kind, ty: position(name, names)? }),
        _ => Err(Error::Unknown(key.to_owned())),
    }
}

/// The shape that a Go type stands for in JSON.
fn shape(ty: &str, names: &[&'static str]) -> Result<Shape, Error> {
    Ok(if let Some(element) = ty.strip_prefix("[]") {
        Shape::List(item(element, names)?)
    } else if let Some(element) = ty.strip_prefix("map[string]") {
        Shape::Map(item(element, names)?)
    } else {
        Shape::One(item(ty, names)?)
    })
}

fn item(ty: &str, names: &[&'static str]) -> Result<Type, Error> {
    Ok(match ty {
        "string" => Type::String,
        "bool" => Type::Bool,
        "int32" => Type::Int32,
        "int64" => Type::Int64,
        "float64" => Type::Double,
        "bytes" => Type::Bytes,
        // The values of a map that have a name of their own in Go (AttestationValue).
        "[]string" => Type::Strings,
        _ => match special(ty) {
            Some(special) => special,
            None => Type::Struct(position(ty, names)?),
        },
    })
}

/// Go structs that are not objects with known members in JSON.
fn special(name: &str) -> Option<Type> {
    let (package, short) = name.rsplit_once('.')?;
    Some(match (package.strip_prefix("k8s.io/")?, short) {
        ("apimachinery/pkg/api/resource", "Quantity") => Type::Quantity,
        ("apimachinery/pkg/apis/meta/v1", "Time") => Type::Time,
        ("apimachinery/pkg/apis/meta/v1", "MicroTime") => Type::MicroTime,
        ("apimachinery/pkg/apis/meta/v1", "FieldsV1") | ("apimachinery/pkg/runtime", "RawExtension") => Type::Any,
        ("apimachinery/pkg/util/intstr", "IntOrString") => Type::IntOrString,
        ("api/authentication/v1" | "api/authorization/v1", "ExtraValue") => Type::Strings,
        ("apiextensions-apiserver/pkg/apis/apiextensions/v1", "JSON") => Type::Any,
        ("apiextensions-apiserver/pkg/apis/apiextensions/v1", "JSONSchemaPropsOrArray") => Type::SchemaOrArray,
        ("apiextensions-apiserver/pkg/apis/apiextensions/v1", "JSONSchemaPropsOrBool") => Type::SchemaOrBool,
        ("apiextensions-apiserver/pkg/apis/apiextensions/v1", "JSONSchemaPropsOrStringArray") => Type::SchemaOrStrings,
        _ => return None,
    })
}

fn position(name: &str, names: &[&'static str]) -> Result<TypeRef, Error> {
    let at = names.binary_search(&name).ok().and_then(|at| u16::try_from(at).ok());
    at.map(TypeRef).ok_or_else(|| Error::Unknown(name.to_owned()))
}
