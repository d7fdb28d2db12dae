//! The types of the built-in kinds, as one table.
//!
//! Held: every Go struct that a built-in kind is made of, with its members as JSON names them, their
//! protobuf numbers, how lists merge under server-side apply, how they merge under strategic merge patch
//! (another rule, never the same table), and whether Go keeps absent apart from zero. Strict decoding,
//! strategic merge, protobuf bodies, OpenAPI documents and the Pod templates inside our own CRDs all read it.
//!
//! It is decoded once from two files in the binary (`data/builtin.json.gz` and `data/extra.json`) in
//! about a millisecond, and then stays, some hundred kilobytes. A [`TypeRef`] is a small copyable handle into
//! it, a [`Field`] is `'static`.
//!
//! Invariants: members are sorted by name and unique; members of embedded Go structs stand in the struct that
//! embeds them, as in JSON ([`Field::via`] tells from where); every [`TypeRef`] that the table hands out is
//! valid.

mod load;
pub(crate) mod lookup;
pub mod openapi;
pub mod printed;
pub mod published;

use std::sync::OnceLock;

use lookup::Lookup;

/// A struct type of the table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TypeRef(u16);

/// What one value is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Type {
    /// A text.
    String,
    /// True or false.
    Bool,
    /// A whole number of 32 bits.
    Int32,
    /// A whole number of 64 bits.
    Int64,
    /// A number.
    Double,
    /// Bytes, in JSON as base64.
    Bytes,
    /// A resource quantity such as `500m`.
    Quantity,
    /// A time in whole seconds.
    Time,
    /// A time in microseconds.
    MicroTime,
    /// A whole number of 32 bits, or a text.
    IntOrString,
    /// Any JSON value.
    Any,
    /// A list of texts that has a name of its own in Go (`ExtraValue`, `AttestationValue`) and is a message in protobuf.
    Strings,
    /// `items` of a JSON schema: a schema or a list of schemas.
    SchemaOrArray,
    /// `additionalProperties` of a JSON schema: a schema or a boolean.
    SchemaOrBool,
    /// `dependencies` of a JSON schema: a schema or a list of texts.
    SchemaOrStrings,
    /// An object with known members.
    Struct(TypeRef),
}

/// What a member holds: one value, a list, or a map from text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Shape {
    /// One value.
    One(Type),
    /// A list of them.
    List(Type),
    /// An object whose keys are free.
    Map(Type),
}

impl Shape {
    /// The type of the value, or of the elements.
    pub fn item(self) -> Type {
        match self {
            Self::One(item) | Self::List(item) | Self::Map(item) => item,
        }
    }
}

/// How a list merges under server-side apply.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ListType {
    /// As a whole.
    Atomic,
    /// By value: no element twice.
    Set,
    /// By the members named in [`Field::keys`].
    Map,
}

/// How a member merges under strategic merge patch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct PatchRule {
    /// Tagged `merge`: a list is merged, by [`PatchRule::key`] when its elements are objects.
    pub merge: bool,
    /// Tagged `replace`: a map that would be merged is replaced.
    pub replace: bool,
    /// Tagged `retainKeys`: clients that make patches add the directive `$retainKeys`.
    pub retain_keys: bool,
    /// The merge key of the elements.
    pub key: Option<&'static str>,
}

/// A member of a struct type.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The name in JSON.
    pub name: &'static str,
    /// What it holds.
    pub shape: Shape,
    /// Its Go type, where that has a name of its own: `v1.RestartPolicy`, `v1.ResourceList`.
    pub go_type: Option<&'static str>,
    /// The number in protobuf, of the struct that declares it.
    pub number: u16,
    /// The Go names of the embedded structs that lead to it, joined by dots; empty for a member of its own.
    pub via: &'static str,
    /// Go leaves it out of JSON when it is empty.
    pub omit_empty: bool,
    /// Go leaves it out of JSON when it is a struct that is zero.
    pub omit_zero: bool,
    /// Go keeps absent apart from zero.
    pub pointer: bool,
    /// It must be there.
    pub required: bool,
    /// A list's behaviour under server-side apply.
    pub list: ListType,
    /// The key members of a list of type [`ListType::Map`].
    pub keys: &'static [&'static str],
    /// A map or struct that server-side apply takes as a whole.
    pub atomic: bool,
    /// The default that the schema declares: a text, which counts in list keys.
    pub default: Option<&'static str>,
    /// The behaviour under strategic merge patch.
    pub patch: PatchRule,
}

/// A row of the table of types.
#[derive(Debug)]
struct TypeDef {
    /// The Go name: `k8s.io/api/core/v1.Pod`.
    name: &'static str,
    /// Sorted by name.
    fields: Box<[Field]>,
    /// Embedded structs that are messages of their own in protobuf.
    embedded: Box<[(u16, TypeRef)]>,
    /// Server-side apply takes it as a whole.
    atomic: bool,
}

/// A kind and the type of its objects.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Kind {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// The type of its objects.
    pub ty: TypeRef,
}

/// The whole table.
#[derive(Debug)]
pub struct Builtin {
    /// Sorted by Go name.
    types: Vec<TypeDef>,
    /// Sorted by group, version, kind.
    kinds: Vec<Kind>,
}

/// What a protobuf number means in a message.
#[derive(Clone, Copy, Debug)]
pub enum Numbered {
    /// A member of the message.
    Field(&'static Field),
    /// A struct whose members stand in this object in JSON.
    Embedded(TypeRef),
}

/// The table, decoded at the first call.
#[allow(clippy::expect_used)] // the data is compiled in and a unit test decodes it
pub fn builtin() -> &'static Builtin {
    static TABLE: OnceLock<Builtin> = OnceLock::new();
    TABLE.get_or_init(|| load::table().expect("the table of built-in kinds in this binary is readable"))
}

/// The type of a built-in kind. `DeleteOptions` is known in every group and version.
pub fn kind(group: &str, version: &str, kind: &str) -> Option<TypeRef> {
    builtin().kind(group, version, kind)
}

/// The type of a built-in kind by its `apiVersion` and `kind`.
pub fn of(api_version: &str, kind: &str) -> Option<TypeRef> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    builtin().kind(group, version, kind)
}

/// A type by its Go name (`k8s.io/api/core/v1.PodSpec`) or its name in OpenAPI documents
/// (`io.k8s.api.core.v1.PodSpec`).
pub fn named(name: &str) -> Option<TypeRef> {
    builtin().named(name)
}

impl Builtin {
    /// See [`kind`].
    pub fn kind(&self, group: &str, version: &str, kind: &str) -> Option<TypeRef> {
        let known = |group, version| {
            let at = self.kinds.binary_search_by(|row| (row.group, row.version, row.kind).cmp(&(group, version, kind)));
            at.ok().and_then(|at| self.kinds.get(at)).map(|row| row.ty)
        };
        known(group, version).or_else(|| (kind == "DeleteOptions").then(|| known("", "v1")).flatten())
    }

    /// All kinds, sorted by group, version and kind.
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// See [`named`].
    pub fn named(&self, name: &str) -> Option<TypeRef> {
        let at = match self.types.binary_search_by(|row| row.name.cmp(name)) {
            Ok(at) => at,
            Err(_) => self.types.iter().position(|row| openapi_name(row.name) == name)?,
        };
        u16::try_from(at).ok().map(TypeRef)
    }

    /// All types, sorted by Go name.
    pub fn types(&self) -> impl Iterator<Item = TypeRef> + use<> {
        // There are some hundred of them; the loader refuses more than a u16 can count.
        (0..u16::try_from(self.types.len()).unwrap_or(u16::MAX)).map(TypeRef)
    }
}

impl TypeRef {
    fn row(self) -> &'static TypeDef {
        // Handles come from the table only.
        &builtin().types[usize::from(self.0)]
    }

    /// The Go name with the package's path: `k8s.io/api/core/v1.Pod`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The Go name without the package: `Pod`.
    pub fn short_name(self) -> &'static str {
        let name = self.name();
        name.rsplit_once('.').map_or(name, |(_, short)| short)
    }

    /// The name that Go prints in messages: `v1.Pod`.
    pub fn go_type(self) -> &'static str {
        let name = self.name();
        name.rsplit_once('/').map_or(name, |(_, last)| last)
    }

    /// The name in OpenAPI documents: `io.k8s.api.core.v1.Pod`.
    pub fn openapi_name(self) -> String {
        openapi_name(self.name())
    }

    /// All members as JSON has them, sorted by name.
    pub fn fields(self) -> &'static [Field] {
        &self.row().fields
    }

    /// The member of that name; case counts.
    pub fn field(self, name: &str) -> Option<&'static Field> {
        self.index_of(name).and_then(|at| self.fields().get(at))
    }

    /// The place of the member of that name in [`TypeRef::fields`].
    pub fn index_of(self, name: &str) -> Option<usize> {
        Lookup::of(self).find(self.fields(), name)
    }

    /// What a protobuf number means in this message.
    pub fn numbered(self, number: u16) -> Option<Numbered> {
        let row = self.row();
        let own = row.fields.iter().find(|field| field.number == number && field.via.is_empty());
        own.map(Numbered::Field).or_else(|| row.embedded.iter().find(|(n, _)| *n == number).map(|&(_, ty)| Numbered::Embedded(ty)))
    }

    /// Server-side apply takes values of this type as a whole.
    pub fn is_atomic(self) -> bool {
        self.row().atomic
    }

    /// The kinds whose objects are of this type.
    pub fn kinds(self) -> impl Iterator<Item = &'static Kind> {
        builtin().kinds.iter().filter(move |row| row.ty == self)
    }
}

/// `k8s.io/api/core/v1.Pod` is `io.k8s.api.core.v1.Pod` in OpenAPI documents.
fn openapi_name(go: &str) -> String {
    let mut segments = go.split('/');
    let host = segments.next().unwrap_or_default();
    let mut name = host.rsplit('.').collect::<Vec<_>>().join(".");
    for segment in segments {
        name.push('.');
        name.push_str(segment);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod_spec() -> TypeRef {
        named("io.k8s.api.core.v1.PodSpec").unwrap()
    }

    #[test]
    fn the_data_decodes() {
        let table = load::table().unwrap();
        assert!(table.types.len() > 450 && table.kinds.len() > 85, "{} types, {} kinds", table.types.len(), table.kinds.len());
        for row in &table.types {
            assert!(row.fields.is_sorted_by(|a, b| a.name < b.name), "{}", row.name);
        }
    }

    #[test]
    fn kinds_are_found() {
        assert_eq!(kind("", "v1", "Pod").unwrap().name(), "k8s.io/api/core/v1.Pod");
        assert_eq!(of("apps/v1", "Deployment").unwrap().openapi_name(), "io.k8s.api.apps.v1.Deployment");
        assert_eq!(of("apiextensions.k8s.io/v1", "CustomResourceDefinition").unwrap().short_name(), "CustomResourceDefinition");
        assert_eq!(of("example.com/v1alpha1", "DeleteOptions").unwrap().short_name(), "DeleteOptions");
        assert_eq!(of("v1", "Nonsense"), None);
        assert_eq!(named("nonsense"), None);
    }

    #[test]
    fn members_carry_both_merge_rules() {
        let containers = pod_spec().field("containers").unwrap();
        assert_eq!((containers.list, containers.keys), (ListType::Map, ["name"].as_slice()));
        assert_eq!(containers.patch, PatchRule { merge: true, key: Some("name"), ..PatchRule::default() });
        assert!(containers.required && !containers.pointer);
        let Shape::List(Type::Struct(container)) = containers.shape else { panic!("{:?}", containers.shape) };
        let ports = container.field("ports").unwrap();
        assert_eq!((ports.keys, ports.patch.key), (["containerPort", "protocol"].as_slice(), Some("containerPort")));
        let Shape::List(Type::Struct(port)) = ports.shape else { panic!("{:?}", ports.shape) };
        assert_eq!(port.field("protocol").unwrap().default, Some("TCP"));
        let volumes = pod_spec().field("volumes").unwrap();
        assert!(volumes.patch.merge && volumes.patch.retain_keys);
        assert!(pod_spec().field("nodeSelector").unwrap().atomic);
        assert!(pod_spec().field("terminationGracePeriodSeconds").unwrap().pointer);
        assert!(!pod_spec().field("hostNetwork").unwrap().pointer);
    }

    #[test]
    fn embedded_structs_are_flat_in_json_and_nested_in_protobuf() {
        let volume = named("k8s.io/api/core/v1.Volume").unwrap();
        let secret = volume.field("secret").unwrap();
        assert_eq!((secret.via, secret.number), ("VolumeSource", 6));
        assert!(matches!(volume.numbered(2), Some(Numbered::Embedded(ty)) if ty.short_name() == "VolumeSource"));
        assert!(matches!(volume.numbered(1), Some(Numbered::Field(field)) if field.name == "name"));
        let rule = named("k8s.io/api/admissionregistration/v1.NamedRuleWithOperations").unwrap();
        assert_eq!(rule.field("scope").unwrap().via, "RuleWithOperations.Rule");
    }
}
