//! Names that must not be mixed up.
//!
//! Everything the planner compares is text, and most of it looks alike: the UID of a Pod, the UUID of a GPU, the ID of an engine
//! instance, the ID of one start of a container. Each gets a type of its own, so that a comparison of two different things does
//! not compile. All are ordered, because every choice in this crate is a total order.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Whether there is no text.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    };
}

text_id! {
    /// `metadata.uid` of a Kubernetes object.
    Uid
}
text_id! {
    /// UUID of an accelerator, as the requester's stub reports it.
    GpuUuid
}
text_id! {
    /// ID of an engine instance inside a launcher.
    InstanceId
}
text_id! {
    /// `containerID` of one start of a container; another start has another one.
    ContainerId
}

/// Joins GPU UUIDs with commas, the form of the annotation `accelerators`.
#[must_use]
pub fn join_gpus(gpus: &[GpuUuid]) -> String {
    gpus.iter().map(GpuUuid::as_str).collect::<Vec<_>>().join(",")
}
