//! From bytes to what they say.

pub mod body;
pub mod date;
pub mod definitions;
pub mod fields;
pub mod head;
pub mod name;
pub mod people;
pub mod sections;
pub mod status;
pub mod value;
