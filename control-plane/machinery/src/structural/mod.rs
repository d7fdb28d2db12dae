//! Structural schemas: what a CustomResourceDefinition says about its objects.
//!
//! A [`Schema`] is the tree of an `openAPIV3Schema`, parsed once when a definition is stored and then only
//! read. On the way of a request the API server asks it, in this order, to [`Schema::prune`] what it does not
//! know (the paths are the warnings), to fill in defaults ([`Schema::default`]) and to
//! [`Schema::validate`]. Whether a schema may be stored at all is decided by [`check()`], which works on the
//! JSON, because what it refuses is mostly what the tree has no place for.
//!
//! CEL rules are kept in the tree and not evaluated here.

mod check;
mod formats;
mod lists;
mod object;
mod parse;
mod pattern;
mod validate;

use serde_json::Value;

use crate::field::{ErrorKind, FieldError, Path};

pub use check::check;
pub use pattern::Pattern;

/// The types of JSON Schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JsonType {
    /// `object`
    Object,
    /// `array`
    Array,
    /// `string`
    String,
    /// `integer`
    Integer,
    /// `number`
    Number,
    /// `boolean`
    Boolean,
}

impl JsonType {
    /// The name in a schema.
    pub fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Object, Self::Array, Self::String, Self::Integer, Self::Number, Self::Boolean].into_iter().find(|k| k.name() == name)
    }
}

/// What `additionalProperties` says.
#[derive(Clone, Debug, Default)]
pub enum Additional {
    /// Nothing: unknown members are pruned, unless they are to be preserved.
    #[default]
    Unset,
    /// `true`: members of any name, whose content is pruned as if it had no schema.
    Allowed,
    /// `false`: other members are errors.
    Forbidden,
    /// Members of any name with this schema.
    Schema(Box<Schema>),
}

/// What `x-kubernetes-list-type` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListType {
    /// The list is one value.
    Atomic,
    /// No element twice.
    Set,
    /// No two elements with the same keys.
    Map,
}

/// What `x-kubernetes-map-type` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapType {
    /// The object is one value.
    Atomic,
    /// Members have owners of their own; the default.
    Granular,
}

/// A rule of `x-kubernetes-validations`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Rule {
    /// The CEL expression.
    pub rule: String,
    /// What to say when it does not hold.
    pub message: String,
    /// A CEL expression that makes the message.
    pub message_expression: String,
    /// The reason of the cause, when it is not the usual one.
    pub reason: Option<String>,
    /// The field to blame, relative to the rule's place.
    pub field_path: String,
    /// Whether the rule runs without an old value too.
    pub optional_old_self: Option<bool>,
}

/// Rules on the value itself. They may also stand below `allOf`, `anyOf`, `oneOf` and `not`.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    /// The format, without hyphens, if it is one that is checked.
    pub format: Option<Format>,
    /// Longest text in characters.
    pub max_length: Option<usize>,
    /// Shortest text in characters.
    pub min_length: Option<usize>,
    /// Regular expression that a text must contain.
    pub pattern: Option<Pattern>,
    /// Largest number.
    pub maximum: Option<f64>,
    /// Whether the largest is itself too large.
    pub exclusive_maximum: bool,
    /// Smallest number.
    pub minimum: Option<f64>,
    /// Whether the smallest is itself too small.
    pub exclusive_minimum: bool,
    /// What a number must be a multiple of.
    pub multiple_of: Option<f64>,
    /// Longest list.
    pub max_items: Option<usize>,
    /// Shortest list.
    pub min_items: Option<usize>,
    /// No element twice.
    pub unique_items: bool,
    /// Largest object.
    pub max_properties: Option<usize>,
    /// Smallest object.
    pub min_properties: Option<usize>,
    /// Members that must be there.
    pub required: Vec<String>,
    /// The values allowed.
    pub one_of_values: Vec<Value>,
    /// All of these hold.
    pub all_of: Vec<Schema>,
    /// At least one of these holds.
    pub any_of: Vec<Schema>,
    /// Exactly one of these holds.
    pub one_of: Vec<Schema>,
    /// This does not hold.
    pub not: Option<Schema>,
}

/// A format that is checked: its name as written, and without hyphens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// As written.
    pub name: Box<str>,
    /// Without hyphens.
    pub plain: Box<str>,
}

/// One node of a schema.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// The type; none for int-or-string, for what is preserved unknown, and below logical operators.
    pub kind: Option<JsonType>,
    /// Null is a value.
    pub nullable: bool,
    /// `x-kubernetes-int-or-string`
    pub int_or_string: bool,
    /// `x-kubernetes-preserve-unknown-fields`
    pub preserve_unknown: bool,
    /// `x-kubernetes-embedded-resource`: has `apiVersion`, `kind` and `metadata` that are never pruned.
    pub embedded: bool,
    /// `x-kubernetes-list-type`
    pub list_type: Option<ListType>,
    /// `x-kubernetes-map-type`
    pub map_type: Option<MapType>,
    /// `x-kubernetes-list-map-keys`
    pub list_keys: Box<[String]>,
    /// What an absent value becomes.
    pub default_value: Option<Box<Value>>,
    /// Members, sorted by name.
    pub properties: Box<[(Box<str>, Schema)]>,
    /// Other members.
    pub additional: Additional,
    /// Elements.
    pub items: Option<Box<Schema>>,
    /// `x-kubernetes-validations`, not evaluated.
    pub rules: Box<[Rule]>,
    /// Rules on the value.
    pub checks: Option<Box<Checks>>,
    /// What there is in this node or anywhere below it.
    inside: Inside,
}

/// What a part of a schema has anywhere, so that objects are not walked for what is not there.
#[derive(Clone, Copy, Debug, Default)]
struct Inside {
    /// Lists that are sets or maps.
    lists: bool,
    /// Embedded resources, the node itself not counted.
    embedded: bool,
    /// CEL rules.
    rules: bool,
}

impl Schema {
    /// Parses an `openAPIV3Schema`. What structural schemas do not have is ignored; [`check()`] refuses it.
    pub fn parse(schema: &Value) -> Result<Self, FieldError> {
        parse::schema(schema, &Path::root())
    }

    /// The schema of the member `name`, if it is declared by name.
    pub fn property(&self, name: &str) -> Option<&Self> {
        let at = self.properties.binary_search_by(|(key, _)| (**key).cmp(name)).ok()?;
        Some(&self.properties[at].1)
    }

    /// The schema of the member `name`: declared, or that of all other members.
    pub fn member(&self, name: &str) -> Option<&Self> {
        self.property(name).or(match &self.additional {
            Additional::Schema(schema) => Some(schema),
            _ => None,
        })
    }

    /// Sets what is absent and has a default, and removes nulls that are neither allowed nor defaulted.
    pub fn default(&self, object: &mut Value) {
        object::prune_nulls(self, object);
        object::default(self, object);
    }

    /// Removes what the schema of a kind does not know; `apiVersion`, `kind` and `metadata` of the object stay.
    /// Answers the paths of what was removed, such as `spec.containers[0].imagee`, sorted.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        object::prune(self, object)
    }

    /// What [`Schema::prune`] would remove.
    pub fn unknown_fields(&self, object: &Value) -> Vec<String> {
        self.prune(&mut object.clone())
    }

    /// The mistakes of an object of a kind: its values, its embedded resources, its sets and maps. Its own
    /// metadata is not looked at, and rules are not run; see [`Schema::unchecked_rules`].
    pub fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = validate::value(self, object);
        object::check_embedded(self, object, &mut errors);
        lists::check(self, object, &mut errors);
        errors
    }

    /// Whether there is a CEL rule anywhere in the schema.
    pub fn has_rules(&self) -> bool {
        self.inside.rules
    }

    /// Fills in what is inside, once everything below has it.
    fn summed(mut self) -> Self {
        let mut inside =
            Inside { lists: matches!(self.list_type, Some(ListType::Set | ListType::Map)), embedded: false, rules: !self.rules.is_empty() };
        let additional = match &self.additional {
            Additional::Schema(schema) => Some(&**schema),
            _ => None,
        };
        for child in self.properties.iter().map(|(_, s)| s).chain(self.items.as_deref()).chain(additional) {
            inside.lists |= child.inside.lists;
            inside.embedded |= child.inside.embedded || child.embedded;
            inside.rules |= child.inside.rules;
        }
        self.inside = inside;
        self
    }

    /// The last error of a request, when the schema has rules and they cannot run because of `errors`, which
    /// are all that were found in the object, its metadata included.
    pub fn unchecked_rules(&self, errors: &[FieldError]) -> Option<FieldError> {
        let blocks = |e: &FieldError| {
            use ErrorKind::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
            matches!(e.kind, Required | TypeInvalid | NotSupported | TooLong | TooMany)
        };
        (errors.iter().any(blocks) && self.has_rules()).then(|| {
            let detail =
                "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
            FieldError::invalid(Path::root(), Value::Null, detail)
        })
    }
}
