//! What objects are made of: the fields of every kind, in the order in which they are written, and what may be in them.
//!
//! A manifest is brought into that form by [`Shape::read`], which refuses what is no field. Everything that people see is in it,
//! too: [`Shape::ordered`] puts what is stored in the same order, with what this release does not know behind it.

mod read;
mod scalar;

/// The fields of an object.
#[derive(Debug)]
pub struct Shape {
    /// In the order in which they are written.
    pub fields: &'static [Field],
}

/// A field.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What the established implementation calls it in messages about what may not be in it, such as `CIDR`.
    pub title: &'static str,
    /// What is in it.
    pub holds: Holds,
    /// When it is written.
    pub written: Written,
}

/// When a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Unless it is empty: "", 0, false, a list or an object without anything in it.
    IfAny,
    /// Whenever it was given.
    IfGiven,
    /// Always, empty where it was not given.
    Always,
}

/// What may be in a field.
#[derive(Debug)]
#[allow(missing_docs, reason = "each is named after what it holds")]
pub enum Holds {
    Text,
    Truth,
    /// A whole number from the first to the second.
    Number(i64, i64),
    /// A port, a range of ports, or a port's name.
    Port,
    /// The number or the name of a protocol.
    Protocol,
    /// The number of an autonomous system, also in two halves.
    AsNumber,
    List(&'static Holds),
    /// Texts by name.
    Map,
    Object(&'static Shape),
    /// Whatever it is, it is kept.
    Anything,
}

/// Shorthands for the tables of fields.
impl Field {
    /// A field that is written unless it is empty.
    pub const fn of(name: &'static str, title: &'static str, holds: Holds) -> Field {
        Field { name, title, holds, written: Written::IfAny }
    }

    /// A field that is written whenever it was given.
    pub const fn given(name: &'static str, title: &'static str, holds: Holds) -> Field {
        Field { name, title, holds, written: Written::IfGiven }
    }

    /// A field that is always written.
    pub const fn always(name: &'static str, title: &'static str, holds: Holds) -> Field {
        Field { name, title, holds, written: Written::Always }
    }
}

pub use read::{Unknowns, Unreadable};
